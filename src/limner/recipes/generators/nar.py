"""NAR: near to far, all tokens of a diagonal at once.

He et al., arXiv:2503.10696. Each token follows from its left and its upper neighbour, one head looking to the right and
one, behind a block of its own, downwards; so a square of n x n is drawn in 2n - 1 steps. Deviations of the small
size: words by a small transformer of our own, which each slot can look for; no dropout; Muon.

    limner train nar --out runs/nar
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from limner.decode.decoder import Decoder
from limner.decode.schedules import constant
from limner.generators.backbones.diagonal import DiagonalTransformer
from limner.generators.generator import Generator
from limner.generators.heads.categorical import LinearCategoricalHead
from limner.generators.heads.head import SamplingOptions
from limner.generators.orders import Diagonals
from limner.models.text_to_image import TextToImage
from limner.nn.norms import gated_hidden
from limner.recipe import Claim, Recipe
from limner.recipes.generators import family


@dataclass(frozen=True, kw_only=True)
class Knobs(family.Codes):
    """A transformer over diagonals of ids, with one more block that looks downwards."""

    width: int = 128
    depth: int = 5
    top_k: int = 1000
    """Likeliest ids that are drawn from; 0 is all."""


def build(knobs: Knobs) -> TextToImage:
    """A freshly initialised NAR over its tokenizer."""
    tokenizer, entries, grid = family.grid_of_codes(knobs.tokenizer)
    width, text, hidden = knobs.width, knobs.text_length, gated_hidden(knobs.width)
    backbone = DiagonalTransformer(
        grid=grid, prefix=text, width=width, depth=knobs.depth, heads=knobs.heads, hidden=hidden, muted=False
    )
    generator = Generator(
        layout=tokenizer.layout,
        order=Diagonals(),
        backbone=backbone,
        head=LinearCategoricalHead(entries, width, context=backbone.width, bias=False),
        condition=family.text_condition(knobs),
    )
    options = SamplingOptions(top_k=knobs.top_k)
    return family.text_to_image(knobs, generator, tokenizer, partial(Decoder, options=options, guidance=constant))


RECIPE = Recipe(
    system="nar",
    state="works",
    paper="arXiv:2503.10696",
    knobs=Knobs,
    build=build,
    lesson=family.lesson,
    score=family.score,
    tiny={**family.TINY, "depth": 1},
    claims=(
        Claim(
            text="15 passes along diagonals draw as well (within 10 %) as 64 from left to right by as many blocks",
            source="arXiv:2503.10696, abstract: 2n - 1 steps for n x n tokens, no loss of quality",
        ),
    ),
)
