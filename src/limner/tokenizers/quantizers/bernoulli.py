"""Bits that are drawn: the bottleneck of a binary autoencoder (Wang et al., Binary Latent Diffusion, arXiv:2304.04820,
Section 3.1), whose codes ELM's language models draw (Liu et al., arXiv:2410.16257, Section 3.1).

    p = sigmoid(f),   bit ~ Bernoulli(p) in training, p > 1/2 in use,   z_q = sum_i bit_i e_i

with the gradient straight through, ``bit + p - sg(p)``. With ``signed`` bits are -1 and 1, p is ``(tanh f + 1) / 2``.
No row is looked up and none can die: the codes are all combinations of ``bits`` rows. The penalty, ``weight * mean
s (1 - s)`` with ``s = sigmoid`` of the sigmoid or tanh, is the authors', who squash twice: it stays near 1/4.
"""

from __future__ import annotations

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from limner.errors import InputError
from limner.tokenizers.quantizers.digits import capacity, compose, decompose
from limner.tokenizers.quantizers.quantizer import Bottleneck, Discrete, Features, usage
from limner.types import Ids, Rng


class BernoulliQuantizer(Discrete):
    """``2 ** bits`` codes, each the sum of rows.

    Args:
        bits: of an id, and channels that the encoder gives: log-odds of the bits.
        channels: of a row.
        codes: parts of an id, of equally many bits, which a generator draws apart: the digits of the id.
        signed: a bit that is not set takes its row away, where otherwise it adds nothing.
        weight: of the penalty.
    """

    def __init__(self, bits: int, channels: int, *, codes: int = 1, signed: bool = False, weight: float = 0.1) -> None:
        super().__init__()
        if bits % codes:
            raise InputError(f"{bits} bits do not divide into {codes} codes: use a multiple")
        self.features, self.channels, self.signed, self.weight = bits, channels, signed, weight
        self.radices = (2 ** (bits // codes),) * codes
        self.entries = capacity(self.radices)
        self.rows = nn.Parameter(torch.randn(bits, channels))

    def squashed(self, features: Features) -> Features:
        """What a bit takes the value of: of 0 and 1, or of -1 and 1."""
        return features.float().tanh() if self.signed else features.float().sigmoid()

    def forward(self, features: Features, rng: Rng) -> Bottleneck:
        z = self.squashed(features)
        share = 0.5 * z + 0.5 if self.signed else z
        bits = (rng.uniform(*share.shape) < share).long()
        chosen = (2 * bits - 1 if self.signed else bits).to(z.dtype)
        penalty = self.weight * self.uncertainty(z)
        ids = compose(rearrange(bits, "b c h w -> b (h w) c"), (2,) * self.features)
        return Bottleneck(self.summed(z + (chosen - z).detach()), penalty, usage(ids, self.entries))

    @staticmethod
    def uncertainty(z: Features) -> Tensor:
        """Mean of ``s (1 - s)``, ``s = sigmoid(z)``."""
        s = z.sigmoid()
        return (s * (1.0 - s)).mean()

    def summed(self, values: Float[Tensor, "b bits h w"]) -> Features:
        """Rows times the values of their bits."""
        return torch.einsum("bihw,ic->bchw", values, self.rows)

    def tokens(self, features: Features, rng: Rng | None = None) -> Ids:
        return compose((rearrange(features, "b c h w -> b (h w) c") > 0).long(), (2,) * self.features)

    def latents(self, tokens: Ids, height: int, width: int) -> Features:
        bits = decompose(tokens, (2,) * self.features).float()
        values = 2.0 * bits - 1.0 if self.signed else bits
        return self.summed(rearrange(values, "b (h w) c -> b c h w", h=height, w=width).to(self.rows.dtype))
