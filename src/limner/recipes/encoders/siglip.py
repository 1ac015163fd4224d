"""SigLIP: the two towers of CLIP, asked of every pair by itself whether it belongs together.

Zhai et al., Sigmoid Loss for Language Image Pre-Training, arXiv:2303.15343. As CLIP here, but for the loss and its
learned bias.

    limner train siglip --out runs/siglip
"""

from __future__ import annotations

from dataclasses import dataclass

from limner.encoders.matcher import Matcher
from limner.encoders.objectives.sigmoid import PairwiseSigmoid
from limner.recipes.encoders import clip
from limner.recipes.encoders.captioned import CaptionTask, caption_task, encoder_scores
from limner.recipes.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class Knobs(clip.Knobs):
    """As CLIP."""


def build(knobs: Knobs) -> Matcher:
    """A freshly initialised SigLIP."""
    return clip.two_towers(knobs, PairwiseSigmoid())


def task(knobs: Knobs) -> CaptionTask:
    """How it is trained."""
    return caption_task(knobs, build(knobs))


RECIPE = Recipe(state="works", paper="arXiv:2303.15343", knobs=Knobs, build=build, task=task, score=encoder_scores)
