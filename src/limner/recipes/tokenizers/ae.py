"""AE: the same convolutional autoencoder with nothing between encoder and decoder.

Hinton & Salakhutdinov, doi:10.1126/science.1127647. It reconstructs best, but its latents follow no distribution that
one could sample from.

    limner train ae --out runs/ae
"""

from __future__ import annotations

from dataclasses import dataclass

from limner.recipe import Claim, Recipe
from limner.recipes.tokenizers import family
from limner.tokenizers.autoencoder import Autoencoder
from limner.tokenizers.quantizers.continuous import Identity


@dataclass(frozen=True, kw_only=True)
class Knobs(family.Continuous):
    """A convolutional autoencoder."""

    retired = frozenset({"kl"})


def build(knobs: Knobs) -> Autoencoder:
    """A freshly initialised autoencoder."""
    return family.autoencoder(knobs, Identity(knobs.channels))


RECIPE = Recipe(
    system="ae",
    state="works",
    paper="doi:10.1126/science.1127647",
    knobs=Knobs,
    build=build,
    lesson=family.lesson,
    score=family.score,
    tiny={**family.TINY, "channels": 4},
    claims=(
        Claim(
            text="with equal networks and steps, AE rebuilds unseen pictures as well as VAE or better, VAE than VQ-VAE",
            source="deck, slides 2 to 4; no numbers given",
        ),
        Claim(
            text="decoded draws of a standard normal look more like pictures from a VAE than from an AE",
            source="arXiv:1312.6114, Section 3",
        ),
    ),
)
