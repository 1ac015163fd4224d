"""What a language model is to those who use it: a table of words, a transformer over vectors, and a reading of words.

    hidden = language(vectors, places, visible)      logits = language.logits(hidden)      table = language.words

The vectors need not be words: whatever a connector puts into the space of the table is read like them. Who sees whom is
``visible``: causal in text, everyone inside a picture (`visibility`). Who stands where is ``places``.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from limner.nn.blocks import Rotation, Stack
from limner.nn.cache import Rewindable

Vectors = Float[Tensor, "b n d"]


@runtime_checkable
class LanguageModel(Protocol):
    """A causal language model of ``width`` channels."""

    width: int
    length: int
    """Positions there are."""

    @property
    def words(self) -> Float[Tensor, "v d"]:
        """The input vector of every subword, as a row; gradients flow into it."""

    def embed(self, ids: Int[Tensor, "b n"]) -> Vectors:
        """Input vectors of subwords."""

    def __call__(
        self,
        x: Vectors,
        places: Int[Tensor, "b n"],
        visible: Bool[Tensor, "b n total"],
        cache: Any = None,
    ) -> Vectors:
        """Last hidden states, normalised. With a cache of its own making, ``x`` follows what that holds, and
        ``visible`` covers both."""

    def logits(self, hidden: Vectors) -> Float[Tensor, "b n v"]:
        """Unnormalised log-probability of every subword coming next."""

    def cache(self, length: int) -> Rewindable:
        """Room for the keys and values of ``length`` positions; only the model that made it can go on with it."""


@runtime_checkable
class Layered(LanguageModel, Protocol):
    """A language model whose layers can be reached: hooks before them may drop tokens, and count places anew."""

    blocks: Stack

    def rotation(self, places: Int[Tensor, "b n"]) -> Rotation:
        """How queries and keys at these places are turned."""


def visibility(segments: Int[Tensor, "b n"], pictures: Int[Tensor, "b n"]) -> Bool[Tensor, "b n n"]:
    """Who sees whom (row sees column): all earlier tokens of its own segment and of segment 0, which every segment
    sees; inside a picture, numbered from 1 in ``pictures`` where text is 0, also the later tokens. Segment -1 only
    pads, and sees itself alone."""
    count = segments.shape[1]
    index = torch.arange(count, device=segments.device)
    earlier = index[None, :] <= index[:, None]
    row, column = segments[:, :, None], segments[:, None, :]
    shared = ((row == column) | (column == 0)) & (column >= 0) & (row >= 0)
    inside = (pictures[:, :, None] == pictures[:, None, :]) & (pictures[:, :, None] > 0) & shared
    return (earlier & shared) | inside | (index[None, :] == index[:, None])
