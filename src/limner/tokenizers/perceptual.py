"""Distance between pictures as a network sees it (Zhang et al., LPIPS, arXiv:1801.03924, Eq. 1, with equal weights).

Feature vectors of each layer are scaled to unit length per pixel and their squared differences averaged over space,
then summed over layers. The network is limner's own, trained on the embedded worlds; no download is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from limner.types import Image

FeatureMaps = Callable[[Image], Sequence[Float[Tensor, "b c h w"]]]


def perceptual_distance(features: FeatureMaps, image: Image, target: Image) -> Float[Tensor, "b"]:
    """Distance of each pair, at least 0; gradients reach ``image`` only."""
    with torch.no_grad():
        wanted = features(target)
    return sum(
        (
            (functional.normalize(own.float(), dim=1) - functional.normalize(other.float(), dim=1))
            .square()
            .sum(1)
            .mean((1, 2))
            for own, other in zip(features(image), wanted, strict=True)
        ),
        start=torch.zeros(len(image), device=image.device),
    )
