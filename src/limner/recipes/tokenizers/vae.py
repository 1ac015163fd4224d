"""VAE: a convolutional autoencoder with a Gaussian posterior, the continuous tokenizer that MAR draws with.

Kingma & Welling, arXiv:1312.6114; as a tokenizer with a small KL weight, Rombach et al., arXiv:2112.10752. Deviations
from the latter: no attention, channel LayerNorm for GroupNorm (fused on a CPU), a KL that is a mean, not a sum.

    limner train vae --out runs/vae                      # first stage of vae-64: 34 minutes on one CPU core
    limner train vae --data photos/ --out runs/own       # on a folder of your own pictures
    limner train vae --finetune runs/vae --l1 0 --lr 1e-3 --out runs/sharper    # its decoder alone, for the pixels
"""

from __future__ import annotations

from dataclasses import dataclass

from limner.recipe import Claim, Recipe
from limner.recipes.tokenizers import family
from limner.tokenizers.autoencoder import Autoencoder
from limner.tokenizers.quantizers.continuous import Gaussian


@dataclass(frozen=True, kw_only=True)
class Knobs(family.Continuous):
    """A convolutional autoencoder with a Gaussian posterior."""

    kl: float = 1e-4
    """Weight of the KL to a standard normal."""


def build(knobs: Knobs) -> Autoencoder:
    """A freshly initialised VAE."""
    return family.autoencoder(knobs, Gaussian(knobs.channels, knobs.kl))


RECIPE = Recipe(
    system="vae",
    state="works",
    paper="arXiv:1312.6114",
    knobs=Knobs,
    build=build,
    lesson=family.lesson,
    score=family.score,
    tiny={**family.TINY, "channels": 4},
    claims=(
        Claim(
            text="the same MAR draws better from VAE latents than from AE latents",
            source="arXiv:2406.11838, Section 4; arXiv:2112.10752, Section 3.1",
        ),
    ),
)
