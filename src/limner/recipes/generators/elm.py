"""ELM: a language model draws the bits of an image, each token as two codes at once.

Liu et al., Elucidating the Design Space of Language Models for Image Generation, arXiv:2410.16257. The tokenizer is a
binary autoencoder, all of whose codes are used; its 12 or more bits per token are cut into codes of fewer, each with a
table and a softmax of its own, drawn from one context. So 24 bits need two tables of 4,096. Deviations of the small
size: a caption's words in place of a class, which each position can look for; no dropout; Muon.

    limner train bae --out runs/bae
    limner train elm --tokenizer runs/bae --out runs/elm
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from limner.decode.decoder import Decoder
from limner.decode.schedules import constant
from limner.errors import InputError
from limner.generators.generator import Generator
from limner.generators.heads.factorized import ParallelDigitHead
from limner.generators.heads.head import SamplingOptions
from limner.generators.orders import Raster
from limner.models.text_to_image import TextToImage
from limner.recipe import Claim, Recipe
from limner.recipes.generators import family, llamagen
from limner.tokenizers.quantizers.digits import Composed


@dataclass(frozen=True, kw_only=True)
class Knobs(family.Codes):
    """A causal transformer over ids of several codes."""

    tokenizer: str = "bae-64"
    top_k: int = 400
    """Likeliest values of a code that are drawn from; 0 is all."""


def build(knobs: Knobs) -> TextToImage:
    """A freshly initialised ELM over its tokenizer; raises `InputError` if its ids have no digits."""
    tokenizer, _, grid = family.grid_of_codes(knobs.tokenizer)
    if not isinstance(tokenizer.quantizer, Composed):
        raise InputError(f"an id of {knobs.tokenizer} is one code: choose a tokenizer of several, such as bae-64")
    generator = Generator(
        layout=tokenizer.layout,
        order=Raster(),
        backbone=llamagen.backbone(knobs, grid),
        head=ParallelDigitHead(tokenizer.quantizer.radices, knobs.width, bias=False),
        condition=family.text_condition(knobs),
    )
    options = SamplingOptions(top_k=knobs.top_k)
    return family.text_to_image(knobs, generator, tokenizer, partial(Decoder, options=options, guidance=constant))


RECIPE = Recipe(
    system="elm",
    state="partly",
    paper="arXiv:2410.16257",
    knobs=Knobs,
    build=build,
    lesson=family.lesson,
    score=family.score,
    tiny={**family.TINY, "depth": 1},
    claims=(
        Claim(
            text="of 512 binary codes at least 95 % are used, more than of a codebook whose rows may die",
            source="arXiv:2410.16257, Section 3.1: 100 % of the codes against a collapsing VQGAN",
        ),
        Claim(
            text="two codes of 6 bits draw as well (within 10 %) as one of 12, with fewer parameters",
            source="arXiv:2410.16257, Section 3.2: decomposed tokens, 2-10 and 2-12",
        ),
    ),
)
