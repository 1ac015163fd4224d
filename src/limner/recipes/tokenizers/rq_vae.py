"""RQ-VAE: what a code leaves of a latent is quantized again, by the same codebook.

Lee et al., arXiv:2203.01941, Section 3.1. The codes of a latent are composed to one id.

    limner train rq_vae --out runs/rq_vae
"""

from __future__ import annotations

from dataclasses import dataclass

from limner.recipe import Recipe
from limner.recipes.tokenizers import family
from limner.tokenizers.autoencoder import Autoencoder
from limner.tokenizers.quantizers.residual import ResidualQuantizer


@dataclass(frozen=True, kw_only=True)
class Knobs(family.Codebook, family.Convolutional):
    """A convolutional autoencoder around a codebook that is read several times."""

    channels: int = 16
    entries: int = 64
    depth: int = 2
    """Codes of a latent: there are entries^depth ids."""


def build(knobs: Knobs) -> Autoencoder:
    """A freshly initialised RQ-VAE."""
    return family.autoencoder(knobs, ResidualQuantizer(family.codebook(knobs, knobs.channels), knobs.depth))


RECIPE = Recipe(
    state="works",
    paper="arXiv:2203.01941",
    knobs=Knobs,
    build=build,
    lesson=family.lesson,
    score=family.score,
    tiny={**family.TINY, "channels": 4, "entries": 6},
)
