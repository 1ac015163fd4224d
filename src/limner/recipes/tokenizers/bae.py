"""BAE: a binary autoencoder, whose latents are sums of rows that coins choose; ELM's language models draw its bits.

Wang et al., Binary Latent Diffusion, arXiv:2304.04820, Section 3.1, as ELM's tokenizer (Liu et al., arXiv:2410.16257,
Section 3.1). In training every bit is drawn with the chance that the encoder gives it, so codes are explored by
themselves and no codebook is looked up. Deviations of the small size: limner's convolutions, no discriminator; Muon.

    limner train bae --out runs/bae
    limner train elm --tokenizer runs/bae --out runs/elm
"""

from __future__ import annotations

from dataclasses import dataclass

from limner.recipe import Recipe
from limner.recipes.tokenizers import family
from limner.tokenizers.autoencoder import Autoencoder
from limner.tokenizers.quantizers.bernoulli import BernoulliQuantizer


@dataclass(frozen=True, kw_only=True)
class Knobs(family.Continuous):
    """A convolutional autoencoder around bits."""

    bits: int = 12
    """Bits of an id."""
    codes: int = 2
    """Parts of an id, of equally many bits, that a generator draws apart."""


def build(knobs: Knobs) -> Autoencoder:
    """A freshly initialised binary autoencoder; raises `InputError` if codes do not divide the bits."""
    return family.autoencoder(knobs, BernoulliQuantizer(knobs.bits, knobs.channels, codes=knobs.codes))


RECIPE = Recipe(
    state="works",
    paper="arXiv:2304.04820",
    knobs=Knobs,
    build=build,
    lesson=family.lesson,
    score=family.score,
    tiny={**family.TINY, "bits": 6, "channels": 4},
)
