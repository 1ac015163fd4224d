"""The control of the language basis: as many random vectors as words, of the words' mean and covariance.

Without constraints their mixtures are the same functions, learned at the same pace (`limner.connectors.controls`): what
`language_basis` does better, it does because its vectors are words. Deviations: those of `language_basis`.

    limner train language_basis_matched --encoder runs/superclass --out runs/control
"""

from __future__ import annotations

from functools import partial

from limner.connectors.controls import Matched
from limner.connectors.ties import Stopped
from limner.recipe import Recipe
from limner.recipes.understanding.family import TINY, score
from limner.recipes.understanding.language_basis import Knobs, Mixture, build, lesson

MIXTURE = Mixture(basis=lambda knobs, words, chosen: Stopped(Matched(len(words), words.shape[1], knobs.seed)))

RECIPE = Recipe(
    state="works",
    paper="arXiv:2503.19404",
    knobs=Knobs,
    build=partial(build, mixture=MIXTURE),
    lesson=partial(lesson, mixture=MIXTURE),
    score=score,
    tiny=TINY,
)
