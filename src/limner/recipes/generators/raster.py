"""The categorical baseline: a causal transformer draws the ids of a VQ-VAE, left to right and top to bottom.

van den Oord et al., arXiv:1711.00937, Section 4.2, with a transformer as the prior (Chen et al., Image GPT, ICML 2020).

    limner train raster --out runs/raster                    # the shipped raster-emoji-64
"""

from __future__ import annotations

from dataclasses import dataclass

from torch.nn import functional

from limner.generators.backbones.causal import CausalTransformer
from limner.generators.generator import Generator
from limner.generators.heads.categorical import CategoricalHead
from limner.generators.orders import Raster
from limner.models.text_to_image import TextToImage
from limner.recipe import Recipe
from limner.recipes.generators import family


@dataclass(frozen=True, kw_only=True)
class Knobs(family.Codes):
    """A causal transformer over ids, which itself reads the caption."""

    width: int = 128
    text_depth: int = 0
    corrupt: float = 0.1
    """Share of known tokens replaced by another picture's in training."""
    guidance: float = 1.5
    images: int = 130_000
    retired = frozenset(
        ("patch", "encoder_depth", "decoder_depth", "head_width", "head_depth", "head_steps", "velocity", "emphasis")
    )


def build(knobs: Knobs) -> TextToImage:
    """A freshly initialised raster model over its tokenizer."""
    tokenizer, entries = family.codes(knobs.tokenizer)
    count = tokenizer.layout.length
    generator = Generator(
        layout=tokenizer.layout,
        order=Raster(),
        backbone=CausalTransformer(
            count=count,
            prefix=knobs.text_length,
            width=knobs.width,
            depth=knobs.depth,
            heads=knobs.heads,
            activation=functional.silu,
        ),
        head=CategoricalHead(entries, knobs.width),
        condition=family.text_condition(knobs),
        corrupt=knobs.corrupt,
    )
    return family.text_to_image(knobs, generator, tokenizer)


RECIPE = Recipe(
    state="works",
    paper="arXiv:1711.00937",
    knobs=Knobs,
    build=build,
    lesson=family.lesson,
    score=family.score,
    tiny={**family.TINY, "text_depth": 1, "depth": 1},
)
