"""ControlAR that learned with the edges of its images, and with those of others; and LlamaGen of as many blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from limner.evaluate.prompts import Prompt
from limner.experiments.claims import better, no_worse
from limner.experiments.generators.baselines import RASTER
from limner.experiments.world import Arm
from limner.generators.conditions import Controlled
from limner.models.controlled import ControlledTextToImage
from limner.nn.pixels import to_tensor
from limner.recipe import Recipe
from limner.recipes.generators import family
from limner.recipes.generators.controlar import Knobs
from limner.train.task import Loss, Task
from limner.types import Rng


def true_images(prompts: Sequence[Prompt]) -> dict[str, Any]:
    """Every caption is drawn into the edges of its true image."""
    return {"control": to_tensor([prompt.picture for prompt in prompts])}


def shuffled(recipe: Recipe) -> Recipe:
    """ControlAR that learns each image with the edges of another."""

    def loss(model: ControlledTextToImage, batch: dict[str, Tensor], rng: Rng) -> Loss:
        others = model.control(model.decode(batch["tokens"])).roll(1, 0)
        return model.generator.loss(batch["tokens"], Controlled(batch["text"], others), rng), {}

    def lesson(knobs: Knobs, model: ControlledTextToImage) -> Task[ControlledTextToImage, dict[str, Any]]:
        task = family.lesson(knobs, model)
        return Task(model, task.batch, loss, preview=task.preview)

    return replace(recipe, lesson=lesson)


EDGES = Arm("controlar", "generators/controlar", RASTER.knobs, beside=true_images)
OTHERS = Arm("controlar-shuffled", "generators/controlar", RASTER.knobs, shuffled, beside=true_images)

CLAIMS = (better(EDGES, OTHERS, "edges"), no_worse(EDGES, RASTER, 0.1))
