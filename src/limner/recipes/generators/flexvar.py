"""FlexVAR: an image is drawn scale by scale, in any number of scales, each the image itself and no residual.

Jiao et al., arXiv:2502.20313. A VAR whose target at every grid is what the image looks like there, whatever was drawn
before; training takes other grids of 1x1 .. SxS in every batch, and positions are shrunk from one map. So one model
draws in few steps or in many. Deviations of the small size: those of VAR; its tokenizer is of our own training.

    limner train free-scales --out runs/free-scales
    limner train flexvar --tokenizer runs/free-scales --out runs/flexvar
    limner draw "a red heart" --model runs/flexvar --steps 7
    limner convert FlexVARd16-epo179.pth models/flexvar-d16 --tokenizer FlexVAE.pth      # the authors' weights
"""

from __future__ import annotations

from dataclasses import dataclass

from limner.errors import InputError
from limner.generators.any_scales import AnyScales
from limner.generators.backbones.any_scales import AnyScaleTransformer
from limner.generators.embeddings import ScaleEmbedding, rows
from limner.generators.generator import Generator
from limner.generators.heads.codes import CodeHead
from limner.models.text_to_image import TextToImage
from limner.recipe import Claim, Recipe
from limner.recipes.generators import family, var
from limner.tokenizers.free_scales import FreeScaleQuantizer


@dataclass(frozen=True, kw_only=True)
class Knobs(var.Knobs):
    """A transformer over grids of any sides."""

    tokenizer: str = "free-scales-64"
    temperature: float = 1.0
    cooled: bool = False
    """Let it fall to 0 at the last scale, which here is the whole image; the paper's is 1 at all of them."""


def build(knobs: Knobs) -> TextToImage:
    """A freshly initialised FlexVAR over its tokenizer; raises `InputError` if that knows one grid alone."""
    tokenizer = family.frozen_tokenizer(knobs.tokenizer, discrete=True)
    quantizer, layout = tokenizer.quantizer, tokenizer.layout
    if not isinstance(quantizer, FreeScaleQuantizer):
        raise InputError(f"{knobs.tokenizer} has no codes of every grid: choose one that has, such as free-scales-64")
    generator = Generator(
        layout=layout,
        order=AnyScales(None),
        backbone=AnyScaleTransformer(
            count=layout.length,
            width=knobs.width,
            depth=knobs.depth,
            heads=knobs.heads,
            prefix=knobs.text_length,
            shared=knobs.shared,
        ),
        head=CodeHead(quantizer.entries, knobs.width),
        condition=family.text_condition(knobs),
        embed=ScaleEmbedding(quantizer.channels, knobs.width, quantizer, rows),
    )
    return var.text_to_image(knobs, generator, tokenizer)


RECIPE = Recipe(
    system="flexvar",
    state="partly",
    paper="arXiv:2502.20313",
    knobs=Knobs,
    build=build,
    lesson=family.lesson,
    score=family.score,
    tiny=var.RECIPE.tiny,
    claims=(
        Claim(
            text="one model draws in 4 steps and in 7 no worse (within 10 %) than in its usual 5",
            source="arXiv:2502.20313, abstract: various numbers of steps, and Table 1: 13 steps without retraining",
        ),
        Claim(
            text="draws better than a VAR of as many blocks, each in its usual steps",
            source="arXiv:2502.20313, Table 1: d16, 3.05 against 3.55",
        ),
    ),
)
