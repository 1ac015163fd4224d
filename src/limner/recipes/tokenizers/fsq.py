"""FSQ: every channel of a latent is rounded to few values, and no codebook is learned.

Mentzer et al., Finite Scalar Quantization, arXiv:2309.15505; levels of its Table 1.

    limner train fsq --out runs/fsq
"""

from __future__ import annotations

from dataclasses import dataclass

from limner.recipe import Recipe
from limner.recipes.tokenizers import family
from limner.tokenizers.autoencoder import Autoencoder
from limner.tokenizers.quantizers.scalar import FiniteScalarQuantizer


@dataclass(frozen=True, kw_only=True)
class Knobs(family.Convolutional):
    """A convolutional autoencoder around rounding."""

    levels: tuple[int, ...] = (7, 5, 5, 5, 5)
    """Values of each channel; their product is the number of ids."""


def build(knobs: Knobs) -> Autoencoder:
    """A freshly initialised FSQ tokenizer."""
    return family.autoencoder(knobs, FiniteScalarQuantizer(knobs.levels))


RECIPE = Recipe(
    state="works",
    paper="arXiv:2309.15505",
    knobs=Knobs,
    build=build,
    lesson=family.lesson,
    score=family.score,
    tiny={**family.TINY, "levels": (4, 3)},
)
