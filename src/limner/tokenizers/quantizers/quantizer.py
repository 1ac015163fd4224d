"""What stands between encoder and decoder."""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from limner.types import Ids, Rng, Tokens

Features = Float[Tensor, "b c h w"]


class Bottleneck(NamedTuple):
    """What a quantizer hands the decoder in training."""

    latents: Features
    penalty: Tensor
    """What it adds to the loss, weighted."""
    metrics: dict[str, Tensor]


@runtime_checkable
class Quantizer(Protocol):
    """Turns encoder features into what the decoder reads (in training) or into tokens (in use)."""

    features: int
    """Channels it wants from the encoder."""
    channels: int
    """Channels it gives the decoder."""
    discrete: bool
    """Are its tokens ids?"""

    def __call__(self, features: Features, rng: Rng) -> Bottleneck: ...

    def tokens(self, features: Features, rng: Rng | None = None) -> Tokens:
        """Tokens in raster order; ``rng`` draws them where they are random, else the most likely ones are given."""

    def keep(self, features: Features) -> dict[str, Tensor]:
        """What must be kept of a picture so that `draw` can give its tokens again and again; one row per picture."""

    def draw(self, kept: dict[str, Tensor], rng: Rng) -> Tokens:
        """Tokens of kept pictures, drawn anew where they are random."""

    def latents(self, tokens: Tokens, height: int, width: int) -> Features:
        """What the decoder reads for these tokens."""


class Discrete(nn.Module):
    """What quantizers to ids share: an id is never random, so it is all that is kept of a token."""

    discrete = True
    features: int
    channels: int
    entries: int
    """How many ids there are."""

    def tokens(self, features: Features, rng: Rng | None = None) -> Ids:
        raise NotImplementedError

    def latents(self, tokens: Ids, height: int, width: int) -> Features:
        raise NotImplementedError

    def keep(self, features: Features) -> dict[str, Tensor]:
        return {"ids": self.tokens(features).to(torch.int32 if self.entries <= 2**31 else torch.int64)}

    def draw(self, kept: dict[str, Tensor], rng: Rng) -> Ids:
        return kept["ids"].long()


def usage(ids: Int[Tensor, "*any"], entries: int) -> dict[str, Tensor]:
    """Share of ``entries`` that occur among these ids, and the perplexity of the ids."""
    _, counts = ids.flatten().unique(return_counts=True)
    share = counts.float() / ids.numel()
    entropy = -(share * share.log()).sum()
    return {"usage": share.new_tensor(len(counts) / entries), "perplexity": entropy.exp()}
