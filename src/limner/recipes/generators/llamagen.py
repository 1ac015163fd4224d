"""LlamaGen: Llama's transformer draws the ids of a tokenizer from left to right and top to bottom.

Sun et al., arXiv:2406.06525. Nothing in it is made for pictures but its places: queries and keys are turned by row and
column. Deviations of the small size: words by a small transformer of our own in place of Flan-T5, which each slot can
look for where the official code attends to them evenly; one table for embedding and output; no dropout; Muon.

    limner train llamagen --out runs/llamagen
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from limner.decode.decoder import Decoder
from limner.decode.schedules import constant
from limner.generators.backbones.llama import LlamaTransformer
from limner.generators.generator import Generator
from limner.generators.heads.categorical import CategoricalHead
from limner.generators.heads.head import SamplingOptions
from limner.generators.orders import Raster
from limner.models.text_to_image import TextToImage
from limner.nn.norms import gated_hidden
from limner.recipe import Claim, Recipe
from limner.recipes.generators import family


@dataclass(frozen=True, kw_only=True)
class Knobs(family.Codes):
    """A causal transformer over ids."""

    top_k: int = 1000
    """Likeliest ids that are drawn from; 0 is all."""


def backbone(knobs: family.Codes, grid: tuple[int, int], *, normed: bool = True) -> LlamaTransformer:
    """Llama's transformer of these knobs over rows and columns of tokens, whose positions look for the caption's words;
    not ``normed``, its contexts are left to the head to normalise."""
    return LlamaTransformer(
        grid=grid,
        prefix=knobs.text_length,
        width=knobs.width,
        depth=knobs.depth,
        heads=knobs.heads,
        hidden=gated_hidden(knobs.width),
        muted=False,
        normed=normed,
    )


def build(knobs: Knobs) -> TextToImage:
    """A freshly initialised LlamaGen over its tokenizer."""
    tokenizer, entries, grid = family.grid_of_codes(knobs.tokenizer)
    generator = Generator(
        layout=tokenizer.layout,
        order=Raster(),
        backbone=backbone(knobs, grid),
        head=CategoricalHead(entries, knobs.width),
        condition=family.text_condition(knobs),
    )
    options = SamplingOptions(top_k=knobs.top_k)
    return family.text_to_image(knobs, generator, tokenizer, partial(Decoder, options=options, guidance=constant))


RECIPE = Recipe(
    state="works",
    paper="arXiv:2406.06525",
    knobs=Knobs,
    build=build,
    lesson=family.lesson,
    score=family.score,
    tiny={**family.TINY, "depth": 1},
    claims=(
        Claim(
            text="with guidance of 2 the same transformer draws better than with none",
            source="arXiv:2406.06525, Section 3.2, effect of classifier-free guidance, and Figure 3a: best at 2",
        ),
    ),
)
