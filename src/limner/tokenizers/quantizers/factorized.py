"""Several codebooks per token that shall say different things (FQGAN, Bai et al., arXiv:2411.16681, Section 3.1).

    z_q = [e_1(k_1) | ... | e_G(k_G)],    penalty = sum_g penalty_g + disentangle * mean_{g < h} cos^2(z_q_g, z_q_h)

where the cosine is of two sub-codes of one token: 0 if one tells nothing of the other's direction.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from limner.tokenizers.quantizers.product import ProductQuantizer
from limner.tokenizers.quantizers.quantizer import Bottleneck, Features
from limner.tokenizers.quantizers.residual import Codebook
from limner.types import Rng


class FactorizedQuantizer(ProductQuantizer):
    """A `ProductQuantizer` of equally wide codebooks, whose penalties are summed.

    Args:
        codebooks: of the sub-codes.
        disentangle: weight of the squared cosine between sub-codes.
    """

    def __init__(self, codebooks: Sequence[Codebook], *, disentangle: float = 0.1) -> None:
        super().__init__(codebooks)
        self.disentangle = disentangle

    def forward(self, features: Features, rng: Rng) -> Bottleneck:
        latents, penalty, metrics = super().forward(features, rng)
        overlap = overlap_of(latents.split(self.widths, 1))
        total = len(self.widths) * penalty + self.disentangle * overlap
        return Bottleneck(latents, total, {**metrics, "overlap": overlap.detach()})


def overlap_of(parts: Sequence[Float[Tensor, "b c h w"]]) -> Float[Tensor, ""]:
    """Mean squared cosine between the vectors of two sub-codes at one place, over places and pairs."""
    pairs = [functional.cosine_similarity(a, b, dim=1).square().mean() for a, b in combinations(parts, 2)]
    return torch.stack(pairs).mean() if pairs else parts[0].new_zeros(())
