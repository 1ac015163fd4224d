"""VQ-VAE: the same convolutional autoencoder through a codebook; its tokens are ids.

van den Oord et al., arXiv:1711.00937, with the averaged codebook of its appendix and rebirth of dead rows.

    limner train vq_vae --out runs/vq                    # the shipped vq-vae-64
"""

from __future__ import annotations

from dataclasses import dataclass

from limner.lessons.pictures import TokenizerTask
from limner.recipe import Claim, Recipe
from limner.recipes.scores import tokenizer_scores
from limner.recipes.tokenizers import vae
from limner.tokenizers.autoencoder import Autoencoder
from limner.tokenizers.quantizers.vector import VectorQuantizer


@dataclass(frozen=True, kw_only=True)
class Knobs(vae.Knobs):
    """A codebook in place of the Gaussian; ``kl`` has no effect."""

    channels: int = 16
    kl: float = 0.0
    entries: int = 4096
    """Rows of the codebook."""
    commitment: float = 0.25
    """Weight that holds the encoder to the rows it chose."""
    revive_below: float = 0.1
    """A row chosen less often than this share of an even division is reborn; 0 lets rows die."""


def build(knobs: Knobs) -> Autoencoder:
    """A freshly initialised VQ-VAE."""
    quantizer = VectorQuantizer(
        knobs.entries, knobs.channels, commitment=knobs.commitment, revive_below=knobs.revive_below
    )
    return vae.autoencoder(knobs, quantizer)


def task(knobs: Knobs) -> TokenizerTask:
    """How it is trained."""
    return vae.tokenizer_task(knobs, build(knobs))


RECIPE = Recipe(
    system="vq-vae",
    state="works",
    paper="arXiv:1711.00937",
    knobs=Knobs,
    build=build,
    task=task,
    score=tokenizer_scores,
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
