"""ACDiT: block after block, each by diffusion, reading the clean blocks before it.

Hu et al., arXiv:2412.07720. One transformer reads clean blocks and denoises the next; blocks of one latent make it
autoregressive token by token, one block a diffusion transformer of the whole. Deviations of the small size: the words
of a caption are read as tokens that are given, their mean in place of the class; the velocity is predicted; Muon.

    limner train acdit --out runs/acdit
    limner train acdit --block 8 --out runs/whole
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from limner.decode.decoder import Decoder
from limner.decode.schedules import constant
from limner.generators.backbones.blockwise import BlockwiseTransformer
from limner.generators.generator import Generator
from limner.generators.heads.trunk import Diffusion, TrunkHead
from limner.generators.orders import Cells
from limner.models.text_to_image import TextToImage
from limner.recipe import Claim, Recipe
from limner.recipes.generators import family


@dataclass(frozen=True, kw_only=True)
class Knobs(family.Knobs):
    """A transformer that denoises blocks of latents."""

    tokenizer: str = "vae-64"
    depth: int = 4
    """Blocks of the transformer."""
    block: int = 4
    """Latents on a side of a block of the picture."""
    velocity: bool = True
    """Predict the velocity; the paper's predicts epsilon, which needs far longer training."""
    head_steps: int = 25
    """Steps of DPM-Solver++ that draw a block."""


def build(knobs: Knobs) -> TextToImage:
    """A freshly initialised ACDiT over its tokenizer."""
    tokenizer = family.frozen_tokenizer(knobs.tokenizer, discrete=False)
    grid = family.one_grid(knobs.tokenizer, tokenizer, knobs.block, "block")
    width, process = knobs.width, Diffusion(knobs.head_steps, velocity=knobs.velocity)
    generator = Generator(
        layout=tokenizer.layout,
        order=Cells((knobs.block, knobs.block)),
        backbone=BlockwiseTransformer(
            axes=grid, split=(1, 1), width=width, depth=knobs.depth, heads=knobs.heads, prefix=knobs.text_length
        ),
        head=TrunkHead(tokenizer.quantizer.channels, width, process, bias=False),
        condition=family.text_condition(knobs),
    )
    return family.text_to_image(knobs, generator, tokenizer, partial(Decoder, guidance=constant))


RECIPE = Recipe(
    system="acdit",
    state="works",
    paper="arXiv:2412.07720",
    knobs=Knobs,
    build=build,
    lesson=family.lesson,
    score=family.score,
    tiny={**family.TINY, "depth": 1, "block": 2, "head_steps": 3},
    claims=(
        Claim(
            text="what is kept of clean blocks changes nothing: drawings with and without it differ by rounding alone",
            source="arXiv:2412.07720, Section 3: keys and values of clean blocks are cached",
        ),
        Claim(
            text="4 blocks of 4x4 latents draw as well (within 10 %) as one of 8x8, a diffusion of the whole picture",
            source="arXiv:2412.07720, Section 4, block size",
        ),
    ),
)
