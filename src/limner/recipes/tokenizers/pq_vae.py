"""PQ-VAE: every group of channels of a latent has a codebook of its own.

Jegou et al., Product Quantization, TPAMI 33(1), 2011, in an autoencoder. The codes of a latent are composed to one id.

    limner train pq_vae --out runs/pq_vae
"""

from __future__ import annotations

from dataclasses import dataclass

from limner.recipe import Recipe
from limner.recipes.tokenizers import family
from limner.tokenizers.autoencoder import Autoencoder
from limner.tokenizers.quantizers.product import ProductQuantizer


@dataclass(frozen=True, kw_only=True)
class Knobs(family.Codebook, family.Convolutional):
    """A convolutional autoencoder around several codebooks."""

    channels: int = 16
    entries: int = 64
    groups: int = 2
    """Groups of channels: there are entries^groups ids."""


def build(knobs: Knobs) -> Autoencoder:
    """A freshly initialised PQ-VAE."""
    books = [family.codebook(knobs, knobs.channels // knobs.groups) for _ in range(knobs.groups)]
    return family.autoencoder(knobs, ProductQuantizer(books))


RECIPE = Recipe(
    state="works",
    paper="doi:10.1109/TPAMI.2010.57",
    knobs=Knobs,
    build=build,
    lesson=family.lesson,
    score=family.score,
    tiny={**family.TINY, "channels": 4, "entries": 6},
)
