"""What stands between encoder and decoder."""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from limner.types import Rng, Tokens

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
