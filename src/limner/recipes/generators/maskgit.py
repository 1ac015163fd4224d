"""MaskGIT: all masked ids are proposed at once, and those the model is surest of stay.

Chang et al., arXiv:2202.04200. A bidirectional transformer learns to fill in any share of masked tokens; a drawing
begins with none known and takes few steps, each of which keeps the surest proposals, the more the later. The tokenizer
may be a grid or a line, such as TiTok's. Deviations of the small size: words in front of the tokens in place of a
class, one table for embedding and output, no dropout, Muon; a known token bears a tenth of a loss and temperature falls
to 0 both for choosing and for ranking, as in the code of TiTok.

    limner train maskgit --out runs/maskgit
    limner train maskgit --tokenizer runs/titok --out runs/maskgit-titok
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from limner.decode.decoder import Decoder
from limner.decode.schedules import annealed, linear
from limner.decode.step import most_confident
from limner.generators.backbones.bert import Bert
from limner.generators.generator import Generator
from limner.generators.heads.categorical import CategoricalHead
from limner.generators.orders import ArccosMasked
from limner.models.text_to_image import TextToImage
from limner.recipe import Claim, Recipe
from limner.recipes.generators import family


@dataclass(frozen=True, kw_only=True)
class Knobs(family.Codes):
    """A masked transformer over ids, which itself reads the caption."""

    depth: int = 3
    text_depth: int = 0
    known_weight: float = 0.1
    """Weight of the loss of tokens that are not masked."""
    passes: int = 8
    """Steps that the finished model draws in."""
    temperature: float = 1.5
    """Temperature that its drawing begins with."""
    images: int = 190_000
    batch: int = 32


def build(knobs: Knobs) -> TextToImage:
    """A freshly initialised MaskGIT over its tokenizer."""
    tokenizer, entries = family.codes(knobs.tokenizer)
    count, width, text = tokenizer.layout.length, knobs.width, knobs.text_length
    generator = Generator(
        layout=tokenizer.layout,
        order=ArccosMasked(),
        backbone=Bert(count=count, prefix=text, width=width, depth=knobs.depth, heads=knobs.heads, hidden=4 * width),
        head=CategoricalHead(entries, width),
        condition=family.text_condition(knobs),
        known_weight=knobs.known_weight,
    )
    return family.text_to_image(
        knobs,
        generator,
        tokenizer,
        partial(Decoder, guidance=linear, temperature=annealed, step=most_confident),
        temperature=knobs.temperature,
        steps=min(knobs.passes, count),
    )


RECIPE = Recipe(
    state="works",
    paper="arXiv:2202.04200",
    knobs=Knobs,
    build=build,
    lesson=family.lesson,
    score=family.score,
    tiny={**family.TINY, "depth": 1},
    claims=(
        Claim(
            text="8 parallel passes draw as well (within 10 % of the distance) as 16 passes of the same transformer",
            source="arXiv:2202.04200, Section 4.4, ablation of the number of iterations",
        ),
        Claim(
            text="8 parallel passes draw as well (within 10 %) as 64 from left to right by as many parameters",
            source="arXiv:2202.04200, Section 4.2 and Table 1",
        ),
    ),
)
