"""ControlAR: a LlamaGen that draws a caption into the edges of an image.

Li et al., arXiv:2410.02705. A vector of the control is added to the state that predicts each token, before the first
layer and at each third of the depth; dropped together with the caption, it takes part in guidance. Deviations of the
small size: those of our LlamaGen; edges by Sobel's filters of the image as its tokenizer shows it, in place of Canny's
of the photograph; a token's control is its patch of edges, in place of DINOv2's features of it; no pre-trained weights.

    limner train controlar --out runs/controlar
    limner draw "a red heart" --model runs/controlar --control heart.png
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

from torch import Tensor

from limner.data.images import extent
from limner.decode.decoder import Decoder
from limner.decode.schedules import constant
from limner.generators.conditions import Controlled
from limner.generators.control import ControlCondition, ControlledTransformer
from limner.generators.generator import Generator
from limner.generators.heads.categorical import CategoricalHead
from limner.generators.heads.head import SamplingOptions
from limner.generators.orders import Raster
from limner.languages.subwords import Subwords
from limner.models.controlled import ControlledTextToImage
from limner.recipe import Claim, Recipe
from limner.recipes.generators import family, llamagen
from limner.train.task import Loss, Task
from limner.types import Rng


@dataclass(frozen=True, kw_only=True)
class Knobs(llamagen.Knobs):
    """A LlamaGen, and a control."""

    depth: int = 6
    """Blocks of the transformer, a multiple of 3."""
    strength: float = 1.0
    """How strongly the control is added."""


def build(knobs: Knobs) -> ControlledTextToImage:
    """A freshly initialised ControlAR over its tokenizer."""
    tokenizer, entries, grid = family.grid_of_codes(knobs.tokenizer)
    width = knobs.width
    patch = prod(extent(tokenizer.size)) // prod(grid)  # pixels
    generator = Generator(
        layout=tokenizer.layout,
        order=Raster(),
        backbone=ControlledTransformer(llamagen.backbone(knobs, grid), knobs.strength),
        head=CategoricalHead(entries, width),
        condition=ControlCondition(family.text_condition(knobs), patch, width),
    )
    options, subwords = SamplingOptions(top_k=knobs.top_k), Subwords(knobs.text_length)
    return ControlledTextToImage(
        generator,
        subwords,
        tokenizer,
        guidance=knobs.guidance,
        decoder=partial(Decoder, options=options, guidance=constant),
    )


def lesson(knobs: Knobs, model: ControlledTextToImage) -> Task[ControlledTextToImage, dict[str, Any]]:
    """As LlamaGen's, with the edges of every image."""

    def loss(model: ControlledTextToImage, batch: dict[str, Tensor], rng: Rng) -> Loss:
        condition = Controlled(batch["text"], model.control(model.decode(batch["tokens"])))
        return model.generator.loss(batch["tokens"], condition, rng), {}

    task = family.lesson(knobs, model)
    return Task(model, task.batch, loss, preview=task.preview, coupling=task.coupling)


RECIPE = Recipe(
    system="controlar",
    state="partly",
    paper="arXiv:2410.02705",
    knobs=Knobs,
    build=build,
    lesson=lesson,
    score=family.score,
    tiny={**family.TINY, "depth": 3},
    claims=(
        Claim(
            text="edges of drawings agree with the edges that they are drawn into more than those of the same model "
            "trained with the edges of other images",
            source="arXiv:2410.02705, Section 4: consistency of the condition",
        ),
        Claim(
            text="with control it draws as well (within 10 % of the distance) as LlamaGen of as many blocks",
            source="arXiv:2410.02705, abstract: image quality",
        ),
    ),
)
