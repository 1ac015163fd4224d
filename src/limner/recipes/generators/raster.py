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
from limner.languages.subwords import Subwords
from limner.lessons.captions import TextToImageTask, frozen_tokenizer, text_condition, text_to_image_task
from limner.models.text_to_image import TextToImage
from limner.recipe import Recipe
from limner.recipes.generators import mar
from limner.recipes.scores import generator_scores
from limner.tokenizers.quantizers.vector import VectorQuantizer


@dataclass(frozen=True, kw_only=True)
class Knobs(mar.Knobs):
    """As MAR; the patch is 1, there is no denoising MLP, and the transformer itself reads the caption."""

    tokenizer: str = "vq-vae-64"
    patch: int = 1
    width: int = 128
    depth: int = 4
    """Blocks of the transformer."""
    text_depth: int = 0
    vocabulary: int = 1024
    corrupt: float = 0.1
    """Share of known tokens replaced by another picture's in training."""
    guidance: float = 1.5
    images: int = 130_000


def build(knobs: Knobs) -> TextToImage:
    """A freshly initialised raster model over its tokenizer."""
    tokenizer = frozen_tokenizer(knobs.tokenizer, discrete=True)
    assert isinstance(tokenizer.quantizer, VectorQuantizer)
    count = tokenizer.layout.length
    generator = Generator(
        count=count,
        order=Raster(),
        backbone=CausalTransformer(
            count=count,
            prefix=knobs.text_length,
            width=knobs.width,
            depth=knobs.depth,
            heads=knobs.heads,
            activation=functional.silu,
        ),
        head=CategoricalHead(tokenizer.quantizer.entries, knobs.width),
        condition=text_condition(knobs),
        corrupt=knobs.corrupt,
    )
    return TextToImage(generator, Subwords(knobs.text_length), tokenizer, guidance=knobs.guidance)


def task(knobs: Knobs) -> TextToImageTask:
    """How it is trained."""
    return text_to_image_task(knobs, build(knobs))


RECIPE = Recipe(state="works", paper="arXiv:1711.00937", knobs=Knobs, build=build, task=task, score=generator_scores)
