"""Recogniser: reads shape, colour, size and place of things from drawn pictures, and names emoji; the judge of prompts.

Centres as in "Objects as Points" (Zhou et al., arXiv:1904.07850), with a second head for full-canvas emoji whose rows
start at the principal components of the pictures they name. It shares no weights with the feature net or a generator.

    limner train recogniser --out runs/recogniser      # the shipped one: 8 minutes on one CPU core
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from limner.encoders.recogniser import Recogniser
from limner.recipe import EvaluationRequest, Recipe
from limner.train.settings import Settings
from limner.train.task import Task


@dataclass(frozen=True, kw_only=True)
class Knobs(Settings):
    """A recogniser."""

    widths: tuple[int, int] = (64, 96)
    """Channels at strides 4 and 8."""
    name_dim: int = 96
    """Length of the vector that an emoji is named by."""
    images: int = 180_000
    batch: int = 32
    lr: float = 2e-3
    warmup: int = 4_000
    ema: int = 3_000
    sample_every: int = 20_000
    checkpoint_every: int = 20_000


def build(knobs: Knobs) -> Recogniser:
    """A freshly initialised recogniser."""
    return Recogniser(widths=knobs.widths, name_dim=knobs.name_dim)


def lesson(knobs: Knobs, model: Recogniser) -> Task[Recogniser, Any]:
    """Training on softened scenes, emoji and empty images."""
    from limner.lessons.recogniser import RecogniserTraining

    return RecogniserTraining(model, seed=knobs.seed).begin().task()


def score(model: Recogniser, request: EvaluationRequest) -> dict[str, Any]:
    """How often it reads held-out scenes right; see `limner.recipes.scores`."""
    from limner.recipes.scores import recogniser_scores

    return recogniser_scores(model, request)


RECIPE = Recipe(
    state="works",
    paper="arXiv:1904.07850",
    knobs=Knobs,
    build=build,
    lesson=lesson,
    score=score,
    tiny={"widths": (8, 8), "name_dim": 8},
)
