"""What a connector is: features of patches in, vectors in the space of a language model's words out.

    vectors = connector(encoder.features(image), language.words)

A connector that builds its vectors from words reads the table it is given, so that the same connector may serve another
language model; the others ignore it.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

Features = Float[Tensor, "b n f"]
Words = Float[Tensor, "v d"]


@runtime_checkable
class Connector(Protocol):
    """Exchangeable in one line."""

    def slots(self, patches: int) -> int:
        """How many vectors it makes of a picture of so many patches."""

    def __call__(self, features: Features, words: Words) -> Float[Tensor, "b m d"]:
        """One vector per slot."""


@runtime_checkable
class Reader(Protocol):
    """A connector that says how much of each word it put into a slot."""

    def top_words(self, features: Features, words: Words, count: int) -> tuple[Tensor, Tensor]:
        """Ids and weights ``[b m count]`` of the words that weigh most in every slot, heaviest first."""
