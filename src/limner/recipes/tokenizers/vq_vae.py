"""VQ-VAE: the same convolutional autoencoder through a codebook; its tokens are ids.

van den Oord et al., arXiv:1711.00937, with the averaged codebook of its appendix and rebirth of dead rows.

    limner train vq_vae --out runs/vq                    # the shipped vq-vae-64
"""

from __future__ import annotations

from dataclasses import dataclass

from limner.recipe import Claim, Recipe
from limner.recipes.tokenizers import family
from limner.tokenizers.autoencoder import Autoencoder


@dataclass(frozen=True, kw_only=True)
class Knobs(family.Codebook, family.Convolutional):
    """A convolutional autoencoder around a codebook."""

    channels: int = 16
    retired = frozenset({"kl"})


def build(knobs: Knobs) -> Autoencoder:
    """A freshly initialised VQ-VAE."""
    return family.autoencoder(knobs, family.codebook(knobs, knobs.channels))


RECIPE = Recipe(
    system="vq-vae",
    state="works",
    paper="arXiv:1711.00937",
    knobs=Knobs,
    build=build,
    lesson=family.lesson,
    score=family.score,
    tiny={**family.TINY, "channels": 4, "entries": 32},
    claims=(
        Claim(
            text="with rebirth of dead rows at least 90 % of 512 codes are used, without it fewer",
            source="arXiv:1711.00937, Appendix A.1; arXiv:2005.00341, Section 3",
        ),
        Claim(
            text="codes with a categorical head draw; AE latents with squared error are at least twice as far off",
            source="arXiv:1711.00937, Section 4.2",
        ),
    ),
)
