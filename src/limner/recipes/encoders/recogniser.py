"""Recogniser: reads shape, colour, size and place of things from drawn pictures, and names emoji; the judge of prompts.

Centres as in "Objects as Points" (Zhou et al., arXiv:1904.07850), with a second head for full-canvas emoji whose rows
start at the principal components of the pictures they name. It shares no weights with the feature net or a generator.

    limner train recogniser --out runs/recogniser      # the shipped one: 8 minutes on one CPU core
"""

from __future__ import annotations

from dataclasses import dataclass

from limner.encoders.recogniser import Recogniser
from limner.lessons.recogniser import RecogniserTraining
from limner.recipe import Recipe
from limner.recipes.scores import recogniser_scores
from limner.train.settings import Settings


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


def task(knobs: Knobs) -> RecogniserTraining:
    """How it is trained."""
    return RecogniserTraining(build(knobs), seed=knobs.seed).begin()


RECIPE = Recipe(state="works", paper="arXiv:1904.07850", knobs=Knobs, build=build, task=task, score=recogniser_scores)
