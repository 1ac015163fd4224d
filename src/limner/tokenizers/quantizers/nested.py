"""Tail token drop: latents of which any first few are enough (One-D-Piece, arXiv:2501.10064, Section 3.2; as nested
dropout in Rippel et al., arXiv:1402.0915).

    k uniform in 1 .. n,    the decoder learns from z_q[1 .. k]

The first token takes part in every batch and the last in one of n, so what matters most is written first. The penalty
stays that of all n tokens.
"""

from __future__ import annotations

from limner.tokenizers.quantizers.quantizer import Bottleneck, Discrete, Features
from limner.types import Ids, Rng


class TailDrop(Discrete):
    """A quantizer of a line ``[b c 1 n]`` that in training hands on its first k latents, one k for the whole batch."""

    def __init__(self, quantizer: Discrete) -> None:
        super().__init__()
        self.quantizer = quantizer
        self.features, self.channels, self.entries = quantizer.features, quantizer.channels, quantizer.entries

    def forward(self, features: Features, rng: Rng) -> Bottleneck:
        """Latents ``[b c 1 k]`` of the tokens that are kept, and the penalty of all."""
        whole = self.quantizer(features, rng)
        kept = 1 + int(rng.along(None).uniform(1) * features.shape[-1])
        return whole._replace(latents=whole.latents[..., :kept])

    def tokens(self, features: Features, rng: Rng | None = None) -> Ids:
        return self.quantizer.tokens(features, rng)

    def latents(self, tokens: Ids, height: int, width: int) -> Features:
        return self.quantizer.latents(tokens, height, width)
