"""Product quantization: every group of channels has a codebook of its own (Jegou et al., TPAMI 33(1), 2011).

``z = [z_1 | ... | z_G]``, ``z_q = [e_1(k_1) | ... | e_G(k_G)]``: G codebooks of V rows say as much as one of V^G rows,
and no row need be as wide as the latent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from limner.tokenizers.quantizers.digits import capacity, compose, decompose
from limner.tokenizers.quantizers.quantizer import Bottleneck, Discrete, Features
from limner.tokenizers.quantizers.residual import Codebook, averaged
from limner.types import Ids, Rng


class ProductQuantizer(Discrete):
    """One code of each codebook per token, composed to one id whose first digit is that of the first channels.

    The penalty is the mean over all channels of those of the codebooks.
    """

    def __init__(self, codebooks: Sequence[Codebook]) -> None:
        super().__init__()
        self.codebooks = nn.ModuleList(codebooks)
        self.widths = [codebook.channels for codebook in codebooks]
        self.features = self.channels = sum(self.widths)
        self.radices = tuple(codebook.entries for codebook in codebooks)
        self.entries = capacity(self.radices)

    def forward(self, features: Features, rng: Rng) -> Bottleneck:
        parts = [codebook(group, rng) for codebook, group in self._pairs(features.split(self.widths, 1))]
        shares = [width / self.channels for width in self.widths]
        penalty = torch.stack([share * part.penalty for share, part in zip(shares, parts, strict=True)]).sum()
        return Bottleneck(torch.cat([part.latents for part in parts], 1), penalty, averaged(parts))

    def tokens(self, features: Features, rng: Rng | None = None) -> Ids:
        digits = [codebook.tokens(group) for codebook, group in self._pairs(features.split(self.widths, 1))]
        return compose(torch.stack(digits, -1), self.radices)

    def latents(self, tokens: Ids, height: int, width: int) -> Features:
        digits = decompose(tokens, self.radices).unbind(-1)
        return torch.cat([codebook.latents(ids, height, width) for codebook, ids in self._pairs(digits)], 1)

    def _pairs(self, groups: Sequence[Tensor]) -> Iterator[tuple[Codebook, Tensor]]:
        return zip(cast(Sequence[Codebook], self.codebooks), groups, strict=True)
