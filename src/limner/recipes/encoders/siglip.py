"""SigLIP: the two towers of CLIP; a sigmoid decides for every pair by itself whether it belongs together.

Zhai et al., Sigmoid Loss for Language Image Pre-Training, arXiv:2303.15343. As CLIP here, but for the loss and its
learned bias.

    limner train siglip --out runs/siglip
"""

from __future__ import annotations

from limner.encoders.matcher import ImageTextModel
from limner.encoders.objectives.sigmoid import PairwiseSigmoid
from limner.recipe import Recipe
from limner.recipes.encoders import clip, family


def build(knobs: clip.Knobs) -> ImageTextModel:
    """A freshly initialised SigLIP."""
    return clip.two_towers(knobs, PairwiseSigmoid())


RECIPE = Recipe(
    state="works",
    paper="arXiv:2303.15343",
    knobs=clip.Knobs,
    build=build,
    lesson=family.lesson,
    score=family.score,
    tiny=clip.TINY,
)
