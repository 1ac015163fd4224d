"""LlamaGen: Llama's transformer draws the ids of a tokenizer from left to right and top to bottom.

Sun et al., arXiv:2406.06525. Nothing in it is made for pictures but its places: queries and keys are turned by row and
column. Deviations of the small size: words by a small transformer of our own in place of Flan-T5, which each slot can
look for where the official code attends to them evenly; one table for embedding and output; no dropout; Muon.

    limner train llamagen --out runs/llamagen
"""

from __future__ import annotations

from dataclasses import dataclass

from limner.decode.decoder import Decoder
from limner.decode.schedules import constant
from limner.generators.backbones.llama import LlamaTransformer
from limner.generators.generator import Generator
from limner.generators.heads.categorical import CategoricalHead
from limner.generators.heads.head import SamplingOptions
from limner.generators.orders import Raster
from limner.languages.subwords import Subwords
from limner.lessons import captions as captioned
from limner.lessons.captions import (
    TextToImageTask,
    frozen_tokenizer,
    one_grid,
    text_condition,
    text_to_image_task,
)
from limner.models.text_to_image import TextToImage
from limner.nn.norms import gated_hidden
from limner.recipe import Claim, Recipe
from limner.recipes.scores import generator_scores
from limner.tokenizers.quantizers.quantizer import Discrete


@dataclass(frozen=True, kw_only=True)
class Knobs(captioned.Knobs):
    """A causal transformer over ids."""

    tokenizer: str = "vq-vae-64"
    width: int = 192
    depth: int = 4
    """Blocks of the transformer."""
    vocabulary: int = 1024
    top_k: int = 1000
    """Likeliest ids that are drawn from; 0 is all."""


def build(knobs: Knobs) -> TextToImage:
    """A freshly initialised LlamaGen over its tokenizer."""
    tokenizer = frozen_tokenizer(knobs.tokenizer, discrete=True)
    assert isinstance(tokenizer.quantizer, Discrete)
    grid = one_grid(knobs.tokenizer, tokenizer)
    backbone = LlamaTransformer(
        grid=grid,
        prefix=knobs.text_length,
        width=knobs.width,
        depth=knobs.depth,
        heads=knobs.heads,
        hidden=gated_hidden(knobs.width),
        muted=False,
    )
    generator = Generator(
        count=grid[0] * grid[1],
        order=Raster(),
        backbone=backbone,
        head=CategoricalHead(tokenizer.quantizer.entries, knobs.width),
        condition=text_condition(knobs),
    )
    return TextToImage(
        generator,
        Subwords(knobs.text_length),
        tokenizer,
        guidance=knobs.guidance,
        decoder=lambda generator: Decoder(generator, SamplingOptions(top_k=knobs.top_k), guidance=constant),
    )


def task(knobs: Knobs) -> TextToImageTask:
    """How it is trained."""
    return text_to_image_task(knobs, build(knobs))


RECIPE = Recipe(
    state="works",
    paper="arXiv:2406.06525",
    knobs=Knobs,
    build=build,
    task=task,
    score=generator_scores,
    claims=(
        Claim(
            text="with guidance of 2 the same transformer draws better than with none",
            source="arXiv:2406.06525, Section 3.2, effect of classifier-free guidance, and Figure 3a: best at 2",
        ),
    ),
)
