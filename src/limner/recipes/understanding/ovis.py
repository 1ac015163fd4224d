"""Ovis: a LLaVA whose pictures are written in visual words of their own, a learned table as wide as words.

Lu et al., arXiv:2405.20797: each patch becomes a mixture of rows of a table that only pictures use, as a text's
subwords are rows of the table of words. Deviations of the small model: those of `llava`, no indicators around pictures,
and a table that starts like the words of the language model, where the authors' starts far larger than theirs.

    limner train superclass --out runs/superclass
    limner train ovis --encoder runs/superclass --out runs/ovis

A recipe with other coefficients hands them to `build`, as ``ovis_argmax`` and ``ovis_gumbel`` do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from limner.connectors.coefficients import Phi, Softmax
from limner.connectors.ovis import OvisConnector
from limner.models.vision_language import VisionLanguageModel
from limner.recipe import Claim, Recipe
from limner.recipes.understanding import family
from limner.recipes.understanding.family import TINY, lesson, parts, score, vision_language


@dataclass(frozen=True, kw_only=True)
class Knobs(family.Knobs):
    """A LLaVA with visual words."""

    entries: int = 1024
    """Visual words."""
    stride: int = 1
    """Patches on a side of what becomes one vector."""

    retired = frozenset({"warmest", "coldest"})
    fixed: ClassVar = {"phi": "softmax"}


def all_words(knobs: Knobs) -> Phi:
    """A softmax over all visual words."""
    return Softmax(learned=False)


def build(knobs: Any, phi: Callable[[Any], Phi] = all_words) -> VisionLanguageModel:
    """A freshly initialised Ovis; ``phi``: scores to coefficients, of the knobs."""
    made = parts(knobs)
    features, width = made.encoder.width, made.language.width
    connector = OvisConnector(features, knobs.entries, width, phi(knobs), stride=knobs.stride)
    model = vision_language(knobs, made, connector)
    connector.settle(model.language.words)
    return model


RECIPE = Recipe(
    system="ovis",
    state="works",
    paper="arXiv:2405.20797",
    knobs=Knobs,
    build=build,
    lesson=lesson,
    score=score,
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
