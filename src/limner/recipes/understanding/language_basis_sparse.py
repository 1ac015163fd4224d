"""A sparse language basis: each patch is a mixture of its k best words, and nothing else.

The control on density of `language_basis` (Masry et al., AlignVLM, arXiv:2502.01341, find that of 128,000 words some
3,400 carry the mass). Chosen from random scores the first few words would get all of the gradient, so all of them take
part at first, and their number falls to k in the course of training. Deviations: those of `language_basis`.

    limner train language_basis_sparse --encoder runs/superclass --frequent 256 --out runs/few
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

from limner.connectors.coefficients import TopK
from limner.errors import InputError
from limner.recipe import Recipe
from limner.recipes.understanding import language_basis
from limner.recipes.understanding.family import TINY, score
from limner.recipes.understanding.language_basis import Mixture, build, lesson
from limner.train.settings import RARE


@dataclass(frozen=True, kw_only=True)
class Knobs(language_basis.Knobs):
    """A LLaVA whose patches are mixtures of few words."""

    k: int = 8
    """Words that are left to a patch."""
    dense_until: float = field(default=0.5, metadata=RARE)
    """Part of the training in which all words still take part."""
    sparse_from: float = field(default=0.75, metadata=RARE)
    """Part of the training after which k are left; 0 with --dense-until 0 chooses from the start."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.dense_until <= self.sparse_from <= 1:
            raise InputError(
                f"--dense-until {self.dense_until} and --sparse-from {self.sparse_from} are parts of the training: "
                "give the first from 0 and the second up to 1, in this order"
            )


def few(knobs: Knobs) -> TopK:
    """A softmax of the k largest scores."""
    steps = knobs.images // knobs.batch
    begin, end = (round(part * steps) for part in (knobs.dense_until, knobs.sparse_from))
    return TopK(knobs.k, knobs.tau, begin=begin, end=end)


MIXTURE = Mixture(phi=few)

RECIPE = Recipe(
    state="works",
    paper="arXiv:2502.01341",
    knobs=Knobs,
    build=partial(build, mixture=MIXTURE),
    lesson=partial(lesson, mixture=MIXTURE),
    score=score,
    tiny={**TINY, "k": 3, "frequent": 40},
)
