"""An Ovis of one visual word per patch, the likeliest; its gradient is that of the scores themselves.

The control on mixing of `ovis` (Lu et al., arXiv:2405.20797, Section 3). Deviations: those of `ovis`.

    limner train ovis_argmax --encoder runs/superclass --out runs/ovis-argmax
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from limner.connectors.coefficients import Phi, StraightThrough, Unconstrained
from limner.recipe import Recipe
from limner.recipes.understanding import ovis
from limner.recipes.understanding.family import TINY, lesson, score
from limner.recipes.understanding.ovis import build


@dataclass(frozen=True, kw_only=True)
class Knobs(ovis.Knobs):
    """An Ovis of one visual word per patch."""

    fixed: ClassVar = {"phi": "argmax"}


def likeliest(knobs: Knobs) -> Phi:
    """One for the largest score, with the gradient of the scores."""
    return StraightThrough(Unconstrained())


RECIPE = Recipe(
    state="works",
    paper="arXiv:2405.20797",
    knobs=Knobs,
    build=partial(build, phi=likeliest),
    lesson=lesson,
    score=score,
    tiny={**TINY, "entries": 32},
)
