"""An Ovis of one visual word per patch, drawn in proportion to a softmax of the scores.

    c = onehot(argmax(l + g)),   gradient of softmax((l + g) / tau),   g standard Gumbel

A choice of the authors' code (Lu et al., arXiv:2405.20797); the draw is that of Jang et al., arXiv:1611.01144. In
training tau falls from ``--warmest`` to ``--coldest``. Deviations: those of `ovis`.

    limner train ovis_gumbel --encoder runs/superclass --out runs/ovis-gumbel
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from limner.connectors.coefficients import Gumbel
from limner.recipe import Recipe
from limner.recipes.understanding import ovis
from limner.recipes.understanding.family import TINY, lesson, score
from limner.recipes.understanding.ovis import build


@dataclass(frozen=True, kw_only=True)
class Knobs(ovis.Knobs):
    """An Ovis whose visual words are drawn."""

    warmest: float = 5.0
    """Temperature at the start."""
    coldest: float = 0.05
    """Temperature at the end of training."""

    fixed: ClassVar = {"phi": "gumbel"}


def drawn(knobs: Knobs) -> Gumbel:
    """Drawn at a temperature that falls with every training step."""
    passes = knobs.images // knobs.batch
    return Gumbel(knobs.warmest, knobs.coldest, passes=passes)


RECIPE = Recipe(
    state="works",
    paper="arXiv:2405.20797",
    knobs=Knobs,
    build=partial(build, phi=drawn),
    lesson=lesson,
    score=score,
    tiny={**TINY, "entries": 32},
)
