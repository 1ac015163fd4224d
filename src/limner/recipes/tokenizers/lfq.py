"""LFQ: the sign of every channel of a latent is a bit of the id, and no codebook is learned.

Yu et al., MAGVIT-v2, arXiv:2310.05737, Section 3.1, Eq. 3 and 5.

    limner train lfq --out runs/lfq
"""

from __future__ import annotations

from dataclasses import dataclass

from limner.recipe import Recipe
from limner.recipes.tokenizers import family
from limner.tokenizers.autoencoder import Autoencoder
from limner.tokenizers.quantizers.binary import LookupFreeQuantizer


@dataclass(frozen=True, kw_only=True)
class Knobs(family.Convolutional):
    """A convolutional autoencoder around signs."""

    bits: int = 12
    """Bits of an id, and channels of a latent; training keeps 2^bits probabilities per latent."""
    entropy: float = 0.1
    """Weight of the entropies: each latent sure of its code, the batch using all codes."""


def build(knobs: Knobs) -> Autoencoder:
    """A freshly initialised LFQ tokenizer."""
    return family.autoencoder(knobs, LookupFreeQuantizer(knobs.bits, entropy=knobs.entropy))


RECIPE = Recipe(
    state="works",
    paper="arXiv:2310.05737",
    knobs=Knobs,
    build=build,
    lesson=family.lesson,
    score=family.score,
    tiny={**family.TINY, "bits": 5},
)
