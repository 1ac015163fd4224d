"""Ovis: a LLaVA whose pictures are written in visual words of their own, a learned table as wide as words.

Lu et al., arXiv:2405.20797: each patch becomes a mixture of rows of a table that only pictures use, as a text's
subwords are rows of the table of words. Deviations of the small model: those of `llava`, no indicators around pictures,
and a table that starts like the words of the language model, where the authors' starts far larger than theirs.

    limner train superclass --out runs/superclass
    limner train ovis --encoder runs/superclass --out runs/ovis
    limner train ovis --encoder runs/superclass --phi gumbel --out runs/ovis-gumbel
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from limner.connectors.coefficients import Gumbel, Phi, Softmax, StraightThrough, Unconstrained
from limner.connectors.ovis import OvisConnector
from limner.models.vision_language import VisionLanguageModel
from limner.recipe import Claim, Recipe
from limner.recipes.understanding import llava
from limner.recipes.understanding.asked import TINY, seeing_scores
from limner.recipes.understanding.llava import lesson
from limner.recipes.understanding.parts import parts, seer


@dataclass(frozen=True, kw_only=True)
class Knobs(llava.Knobs):
    """A LLaVA with visual words."""

    entries: int = 1024
    """Visual words."""
    phi: Literal["softmax", "argmax", "gumbel"] = "softmax"
    """Scores to coefficients: all words, the likeliest, or one that is drawn."""
    warmest: float = 5.0
    """Temperature of what is drawn, at the start."""
    coldest: float = 0.05
    """And at the end of training."""
    stride: int = 1
    """Patches on a side of what becomes one vector."""


def phi(knobs: Knobs) -> Phi:
    """Scores to coefficients."""
    if knobs.phi == "softmax":
        return Softmax(learned=False)
    if knobs.phi == "argmax":
        return StraightThrough(Unconstrained())
    passes = knobs.images * knobs.accumulate // knobs.batch
    return Gumbel(knobs.warmest, knobs.coldest, passes=passes)


def build(knobs: Knobs) -> VisionLanguageModel:
    """A freshly initialised Ovis."""
    made = parts(knobs)
    features, width = made.encoder.width, made.language.width
    connector = OvisConnector(features, knobs.entries, width, phi(knobs), stride=knobs.stride)
    model = seer(knobs, made, connector)
    connector.settle(model.language.words)
    return model


RECIPE = Recipe(
    system="ovis",
    state="works",
    paper="arXiv:2405.20797",
    knobs=Knobs,
    build=build,
    lesson=lesson,
    score=seeing_scores,
    tiny={**TINY, "entries": 32},
    claims=(
        Claim(
            text="a visual vocabulary answers more questions right than an MLP of as many parameters",
            source="arXiv:2405.20797, Section 4, ablation against a connector",
        ),
        Claim(
            text="mixtures of visual words answer more questions right than the likeliest visual word alone",
            source="arXiv:2405.20797, Section 3",
        ),
    ),
)
