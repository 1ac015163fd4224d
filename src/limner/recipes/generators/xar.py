"""xAR: cell after cell, each by flow matching, in a past that may be noisy.

Ren et al., arXiv:2502.20388. The whole transformer denoises a square cell of latents at once; in training every cell
has its own noise and sees the noised cells before it, so that drawing survives its own mistakes. Deviations of the
small size: the words of a caption are read as tokens that are given, their mean in place of the class; no dropout;
Muon.

    limner train xar --out runs/xar
    limner train xar --no-noisy --out runs/clean                    # the same with a clean past
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from limner.decode.decoder import Decoder
from limner.decode.schedules import with_steps
from limner.generators.backbones.cells import CellTransformer
from limner.generators.generator import Generator
from limner.generators.heads.trunk import Flow, TrunkHead
from limner.generators.orders import Cells
from limner.models.text_to_image import TextToImage
from limner.recipe import Claim, Recipe
from limner.recipes.generators import family


@dataclass(frozen=True, kw_only=True)
class Knobs(family.Knobs):
    """A transformer that denoises cells of latents."""

    tokenizer: str = "vae-64"
    width: int = 128
    text_depth: int = 0
    encoder_depth: int = 2
    """Blocks of its first half."""
    decoder_depth: int = 2
    """Blocks of its second half."""
    cell: int = 4
    """Latents on a side of a cell."""
    noisy: bool = True
    """Train on a noised past, or on a clean one."""
    head_steps: int = 25
    """Steps of Euler-Maruyama that draw a cell; the paper's are 50."""
    images: int = 170_000
    batch: int = 32


def build(knobs: Knobs) -> TextToImage:
    """A freshly initialised xAR over its tokenizer."""
    tokenizer = family.frozen_tokenizer(knobs.tokenizer, discrete=False)
    grid = family.one_grid(knobs.tokenizer, tokenizer, knobs.cell, "cell")
    generator = Generator(
        layout=tokenizer.layout,
        order=Cells((knobs.cell, knobs.cell)),
        backbone=CellTransformer(
            grid=grid,
            width=knobs.width,
            encoder_depth=knobs.encoder_depth,
            decoder_depth=knobs.decoder_depth,
            heads=knobs.heads,
            noisy=knobs.noisy,
            prefix=knobs.text_length,
        ),
        head=TrunkHead(tokenizer.quantizer.channels, knobs.width, Flow(knobs.head_steps)),
        condition=family.text_condition(knobs),
    )
    return family.text_to_image(knobs, generator, tokenizer, partial(Decoder, guidance=with_steps))


RECIPE = Recipe(
    system="xar",
    state="works",
    paper="arXiv:2502.20388",
    knobs=Knobs,
    build=build,
    lesson=family.lesson,
    score=family.score,
    tiny={**family.TINY, "text_depth": 1, "encoder_depth": 1, "decoder_depth": 1, "cell": 2, "head_steps": 3},
    claims=(
        Claim(
            text="trained on a past as noisy as the present, the same transformer draws better than on a clean one",
            source="arXiv:2502.20388, Noisy Context Learning, ablation against teacher forcing",
        ),
    ),
)
