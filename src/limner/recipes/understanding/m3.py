"""M3: one model that reads a picture as 1, 4, 16 or 64 tokens, coarse to fine, as the user likes.

Cai et al., Matryoshka Multimodal Models, arXiv:2405.17430 (github.com/mu-cai/matryoshka-mm). The connector's grid is
averaged over ever larger cells, and every batch is learned at every size, its loss the mean over them; nothing else
differs from a LLaVA. The authors' sizes are 1, 9, 36, 144 and 576 of a grid of 24x24.

    limner train m3 --encoder runs/superclass --out runs/m3
    limner see drawing.png --model runs/m3/model --with tokens:count=4
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from limner.connectors.mlp import MlpConnector
from limner.connectors.pooling import NestedConnector
from limner.models.vision_language import VisionLanguageModel
from limner.recipe import Claim, Recipe
from limner.recipes.understanding import family
from limner.recipes.understanding.family import TINY, parts, score, vision_language


@dataclass(frozen=True, kw_only=True)
class Knobs(family.Knobs):
    """A LLaVA of several numbers of tokens."""

    counts: tuple[int, ...] = (1, 4, 16, 64)
    """Numbers of tokens that it learns, squares whose sides divide the grid's; it answers with the largest."""


def build(knobs: Knobs) -> VisionLanguageModel:
    """A freshly initialised M3."""
    made = parts(knobs)
    connector = MlpConnector(made.encoder.width, made.language.width)
    return vision_language(knobs, made, NestedConnector(connector, max(knobs.counts)))


def lesson(knobs: Knobs, model: VisionLanguageModel) -> family.Lesson:
    """Every batch at every size."""
    from limner.lessons.counts import CountsLesson

    def every(start: int) -> Sequence[int]:
        return knobs.counts

    return CountsLesson(family.conversation_lesson(knobs, model), every).task()


RECIPE = Recipe(
    system="m3",
    state="partly",
    paper="arXiv:2405.17430",
    knobs=Knobs,
    build=build,
    lesson=lesson,
    score=score,
    tiny={**TINY, "counts": (1, 4)},
    claims=(
        Claim(
            text="with a quarter of its tokens it answers as many questions right as a LLaVA with all, within 2 points",
            source="arXiv:2405.17430, Table 1",
        ),
        Claim(
            text="it answers with so many tokens as many as one that learned this number alone, within 2 points",
            source="arXiv:2405.17430, Table 1",
        ),
    ),
)
