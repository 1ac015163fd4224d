"""SigLIP: the two towers of CLIP, asked of every pair by itself whether it belongs together.

Zhai et al., Sigmoid Loss for Language Image Pre-Training, arXiv:2303.15343. As CLIP here, but for the loss and its
learned bias.

    limner train siglip --out runs/siglip
"""

from __future__ import annotations

from dataclasses import dataclass

from limner.encoders.matcher import ImageTextModel
from limner.encoders.objectives.sigmoid import PairwiseSigmoid
from limner.lessons.pairs import ImageTextTask, encoder_scores, image_text_task
from limner.recipe import Recipe
from limner.recipes.encoders import clip


@dataclass(frozen=True, kw_only=True)
class Knobs(clip.Knobs):
    """As CLIP."""


def build(knobs: Knobs) -> ImageTextModel:
    """A freshly initialised SigLIP."""
    return clip.two_towers(knobs, PairwiseSigmoid())


def task(knobs: Knobs) -> ImageTextTask:
    """How it is trained."""
    return image_text_task(knobs, build(knobs))


RECIPE = Recipe(state="works", paper="arXiv:2303.15343", knobs=Knobs, build=build, task=task, score=encoder_scores)
