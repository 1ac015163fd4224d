"""MAR with several heads: one VAE, one masked backbone, one budget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from limner.decode.options import DrawOptions
from limner.experiments.claims import better, every
from limner.experiments.tokenizers.baselines import AE, VAE, VQ
from limner.experiments.world import Arm
from limner.generators.heads.categorical import CategoricalHead
from limner.generators.heads.head import Head
from limner.generators.heads.mixture import MixtureHead
from limner.generators.heads.regression import RegressionHead
from limner.models.text_to_image import TextToImage
from limner.recipe import Recipe
from limner.recipes.generators import family, mar

PATH, SIZES = (
    "generators/mar",
    {"patch": 1, "encoder_depth": 2, "decoder_depth": 2, "head_width": 128, "head_depth": 2, "head_steps": 25},
)
EIGHT = DrawOptions(steps=8)


def with_head(head: Callable[[Any, int], Head], *, discrete: bool = False) -> Callable[[Recipe], Recipe]:
    """MAR with another head, made of the tokenizer's quantizer and the width of contexts."""

    def build(knobs: mar.Knobs) -> TextToImage:
        tokenizer = family.frozen_tokenizer(knobs.tokenizer, discrete=discrete)
        return family.text_to_image(
            knobs, mar.generator(knobs, tokenizer, head(tokenizer.quantizer, knobs.width)), tokenizer
        )

    return lambda recipe: replace(recipe, build=build)


mixture = with_head(lambda quantizer, width: MixtureHead(quantizer.channels, width))
regression = with_head(lambda quantizer, width: RegressionHead(quantizer.channels, width))
categorical = with_head(lambda quantizer, width: CategoricalHead(quantizer.entries, width), discrete=True)

DIFFUSION = Arm("mar", PATH, {**SIZES, "tokenizer": VAE}, options=EIGHT)
ON_AE = Arm("mar-ae", PATH, {**SIZES, "tokenizer": AE}, options=EIGHT)
MIXTURE = Arm("mar-mixture", PATH, {**SIZES, "tokenizer": VAE}, mixture, EIGHT)
MEAN = Arm("mar-regression", PATH, {**SIZES, "tokenizer": VAE}, regression, EIGHT, judged=False)
MEAN_OF_AE = Arm("mar-regression-ae", PATH, {**SIZES, "tokenizer": AE}, regression, EIGHT, judged=False)
CODES = Arm("mar-categorical", PATH, {**SIZES, "tokenizer": VQ}, categorical, EIGHT)

CLAIMS = (every(better(DIFFUSION, MIXTURE), better(MIXTURE, MEAN)), better(DIFFUSION, CODES))
