"""Frechet distance between two sets of pictures in a feature space (Heusel et al. 2017, arXiv:1706.08500, Eq. 6).

``|m1 - m2|^2 + trace(C1 + C2 - 2 (C1 C2)^(1/2))``. The estimate is biased: it is too large by an amount that shrinks
about as 1 / count (Chong and Forsyth 2020, arXiv:1911.07023), so only distances of equal counts, equal reference sets
and equal feature nets may be compared; a Protocol records all three. With fewer pictures than feature dimensions the
covariances are singular and the bias is large: use the numbers for ranking only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from limner.errors import InputError
from limner.types import Image

FeatureFn: TypeAlias = Callable[[Image], Float[Tensor, "b f"]]


@dataclass(frozen=True)
class Moments:
    """Mean and (unbiased) covariance of a set of feature vectors, and how many there were; float64."""

    mean: Float[Tensor, "f"]
    covariance: Float[Tensor, "f f"]
    count: int


def moments(features: Float[Tensor, "b f"]) -> Moments:
    """Moments of a set of feature vectors; two or more."""
    if len(features) < 2:
        raise InputError(f"a Frechet distance needs two or more pictures but got {len(features)}; give more")
    x = features.double()
    if not torch.isfinite(x).all():
        raise InputError("some features are not finite, so no Frechet distance exists; look at the pictures")
    mean = x.mean(0)
    centred = x - mean
    return Moments(mean, centred.T @ centred / (len(x) - 1), len(x))


@torch.no_grad()
def picture_moments(images: Iterable[Float[Tensor, "_ 3 _ _"]], feature_fn: FeatureFn) -> Moments:
    """Moments of the features of batches of pictures."""
    return moments(torch.cat([feature_fn(batch).double().cpu() for batch in images]))


def _root(matrix: Float[Tensor, "f f"]) -> Float[Tensor, "f f"]:
    """Square root of a symmetric positive semi-definite matrix; eigenvalues below zero are rounding and become 0."""
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T


def frechet_distance(first: Moments, second: Moments) -> float:
    """Distance of two Gaussians with these moments; 0 for equal ones, symmetric.

    The trace of ``(C1 C2)^(1/2)`` is that of ``(C1^(1/2) C2 C1^(1/2))^(1/2)``: a symmetric matrix, so eigenvalues in
    float64 suffice and no complex numbers appear.
    """
    if first.mean.shape != second.mean.shape:
        raise InputError(
            f"features of {len(first.mean)} and {len(second.mean)} dimensions have no Frechet distance; "
            "use one feature net for both sets"
        )
    root = _root(first.covariance)
    product = root @ second.covariance @ root
    values = torch.linalg.eigvalsh((product + product.T) / 2)
    shift = (first.mean - second.mean).square().sum()
    spread = first.covariance.trace() + second.covariance.trace() - 2 * values.clamp(min=0).sqrt().sum()
    return max(0.0, float(shift + spread))
