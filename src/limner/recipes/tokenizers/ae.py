"""AE: the same convolutional autoencoder with nothing between encoder and decoder.

Hinton & Salakhutdinov, doi:10.1126/science.1127647. It rebuilds best, but its latents follow
no law one could draw from.

    limner train ae --out runs/ae
"""

from __future__ import annotations

from dataclasses import dataclass

from limner.lessons.pictures import TokenizerTask
from limner.recipe import Claim, Recipe
from limner.recipes.scores import tokenizer_scores
from limner.recipes.tokenizers import vae
from limner.tokenizers.autoencoder import Autoencoder
from limner.tokenizers.quantizers.continuous import Identity


@dataclass(frozen=True, kw_only=True)
class Knobs(vae.Knobs):
    """As the VAE; ``kl`` has no effect."""

    kl: float = 0.0


def build(knobs: Knobs) -> Autoencoder:
    """A freshly initialised autoencoder."""
    return vae.autoencoder(knobs, Identity(knobs.channels))


def task(knobs: Knobs) -> TokenizerTask:
    """How it is trained."""
    return vae.tokenizer_task(knobs, build(knobs))


RECIPE = Recipe(
    system="ae",
    state="works",
    paper="doi:10.1126/science.1127647",
    knobs=Knobs,
    build=build,
    task=task,
    score=tokenizer_scores,
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
