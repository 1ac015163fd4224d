"""Residual quantization: what a code leaves is quantized again (Lee et al., RQ-VAE, arXiv:2203.01941, Section 3.1).

``r_0 = z``, ``k_d = nearest(r_{d-1})``, ``r_d = r_{d-1} - e(k_d)``, ``z_q = e(k_1) + ... + e(k_D)``: D codes of
one codebook of V rows say as much as one code of V^D rows. The gradient passes straight through to z; each depth adds
the codebook's own penalty on what it was given.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from limner.tokenizers.quantizers.digits import capacity, compose, decompose
from limner.tokenizers.quantizers.learned import LearnedCodebook
from limner.tokenizers.quantizers.quantizer import Bottleneck, Discrete, Features
from limner.tokenizers.quantizers.vector import VectorQuantizer
from limner.types import Ids, Rng

Codebook: TypeAlias = VectorQuantizer | LearnedCodebook


class ResidualQuantizer(Discrete):
    """``depth`` codes of one codebook per token, composed to one id whose first digit is the coarsest.

    An averaged codebook follows the residuals of each depth in turn.
    """

    def __init__(self, codebook: Codebook, depth: int) -> None:
        super().__init__()
        self.codebook = codebook
        self.features, self.channels = codebook.features, codebook.channels
        self.radices = (codebook.entries,) * depth
        self.entries = capacity(self.radices)

    def forward(self, features: Features, rng: Rng) -> Bottleneck:
        given, parts = features.float(), []
        for _ in self.radices:
            parts.append(self.codebook(given, rng))
            given = given - parts[-1].latents.detach()
        total = torch.stack([part.latents for part in parts]).sum(0)
        latents = features + (total - features).detach()
        return Bottleneck(latents, torch.stack([part.penalty for part in parts]).sum(), averaged(parts))

    def tokens(self, features: Features, rng: Rng | None = None) -> Ids:
        rest, digits = features.float(), []
        for _ in self.radices:
            digits.append(self.codebook.tokens(rest))
            rest = rest - self.codebook.latents(digits[-1], *features.shape[2:])
        return compose(torch.stack(digits, -1), self.radices)

    def latents(self, tokens: Ids, height: int, width: int) -> Features:
        digits = decompose(tokens, self.radices).unbind(-1)
        return torch.stack([self.codebook.latents(ids, height, width) for ids in digits]).sum(0)


def averaged(parts: Sequence[Bottleneck]) -> dict[str, Tensor]:
    """Mean of each metric over the parts."""
    return {name: torch.stack([part.metrics[name] for part in parts]).mean() for name in parts[0].metrics}
