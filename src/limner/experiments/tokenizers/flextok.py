"""FlexTok: first tokens against more of them, and against those of a model that always learned from all."""

from __future__ import annotations

from dataclasses import replace

from limner.experiments.claims import better, every, rises
from limner.experiments.tokenizers.baselines import VAE
from limner.experiments.world import Arm
from limner.recipe import Recipe
from limner.recipes.tokenizers import family
from limner.tokenizers.flextok import FlowObjective


def from_all(recipe: Recipe) -> Recipe:
    """FlexTok without nested dropout."""
    return replace(recipe, lesson=lambda knobs, model: family.lesson_by(FlowObjective(least=knobs.count), knobs, model))


SIZES = {"patch": 2, "count": 16, "width": 128, "encoder_depth": 2, "decoder_depth": 3, "batch": 32, "images": 30_000}
NESTED = Arm("flextok", "tokenizers/flextok", {**SIZES, "tokenizer": VAE})
WHOLE = Arm("flextok-whole", "tokenizers/flextok", NESTED.knobs, from_all)

CLAIMS = (
    rises(NESTED, ("psnr/1", "psnr/4", "psnr/16")),
    every(better(NESTED, WHOLE, "psnr/1"), better(NESTED, WHOLE, "shape/1")),
)
