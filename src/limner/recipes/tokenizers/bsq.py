"""BSQ: latents on a sphere, the signs of whose channels are the bits of the id.

Zhao et al., Binary Spherical Quantization, arXiv:2406.07548, Section 4.1.

    limner train bsq --out runs/bsq
"""

from __future__ import annotations

from dataclasses import dataclass

from limner.recipe import Recipe
from limner.recipes.tokenizers import family
from limner.tokenizers.autoencoder import Autoencoder
from limner.tokenizers.quantizers.spherical import BinarySphericalQuantizer


@dataclass(frozen=True, kw_only=True)
class Knobs(family.Convolutional):
    """A convolutional autoencoder around the corners of a sphere."""

    bits: int = 12
    """Bits of an id, and channels of a latent; at most 63."""
    entropy: float = 0.1
    """Weight of the entropies: each latent sure of its code, the batch using all codes."""


def build(knobs: Knobs) -> Autoencoder:
    """A freshly initialised BSQ tokenizer."""
    return family.autoencoder(knobs, BinarySphericalQuantizer(knobs.bits, entropy=knobs.entropy))


RECIPE = Recipe(
    state="works",
    paper="arXiv:2406.07548",
    knobs=Knobs,
    build=build,
    lesson=family.lesson,
    score=family.score,
    tiny={**family.TINY, "bits": 5},
)
