"""Tokens: a model that was trained with several numbers of visual tokens sees with this one.

Of `m3` and `mqt`, whose papers let the user choose; no system of its own.

    limner see drawing.png --model runs/m3/model --with tokens:count=4
"""

from __future__ import annotations

from dataclasses import dataclass

from limner.models.vision_language import VisionLanguageModel
from limner.recipe import Technique


@dataclass(frozen=True)
class Knobs:
    """How many."""

    count: int = 4
    """Tokens of a picture."""


def apply(model: VisionLanguageModel, knobs: Knobs) -> VisionLanguageModel:
    """The model with so many visual tokens; raises `InputError` if it was trained with one number, or not this."""
    from limner.lessons.counts import of_count

    return of_count(model, knobs.count)


RECIPE = Technique(
    state="works",
    paper="arXiv:2405.17430 and arXiv:2405.19315",
    knobs=Knobs,
    apply=apply,
    on=VisionLanguageModel,
    host="understanding/m3",
    tiny={"count": 1},
    neutral={"count": 4},
)
