"""MQT: a picture is the first m of M learned queries, m drawn anew for every batch, so that any m will do.

Hu et al., Matryoshka Query Transformer, arXiv:2405.19315 (github.com/gordonhu608/MQT-LLaVA); the equation is in
`limner.connectors.matryoshka`. As in the authors' code m is even, uniform from 2 to M. Deviation: their first stage,
which aligns all M queries, is a run of its own (``--stage align``).

    limner train mqt --encoder runs/superclass --out runs/mqt
    limner see drawing.png --model runs/mqt/model --with tokens:count=4
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from limner.connectors.matryoshka import MatryoshkaQueries
from limner.models.vision_language import VisionLanguageModel
from limner.recipe import Claim, Recipe
from limner.recipes.understanding import family
from limner.recipes.understanding.family import TINY, parts, score, vision_language
from limner.types import derive_seed


@dataclass(frozen=True, kw_only=True)
class Knobs(family.Knobs):
    """A LLaVA of any number of queries."""

    queries: int = 64
    """Most tokens of a picture, a square."""


def build(knobs: Knobs) -> VisionLanguageModel:
    """A freshly initialised MQT."""
    made = parts(knobs)
    width, grid = made.encoder.width, made.encoder.size // knobs.patch
    connector = MatryoshkaQueries(
        width, made.language.width, queries=knobs.queries, heads=max(width // 64, 1), grid=grid
    )
    return vision_language(knobs, made, connector)


def lesson(knobs: Knobs, model: VisionLanguageModel) -> family.Lesson:
    """Every batch at a number of its own; all queries where the connector alone is aligned."""
    from limner.lessons.counts import CountsLesson

    def drawn(start: int) -> Sequence[int]:
        if knobs.stage == "align":
            return (knobs.queries,)
        step = derive_seed(knobs.seed, "queries", start // knobs.batch)
        return (2 * (1 + step % (knobs.queries // 2)),)

    return CountsLesson(family.conversation_lesson(knobs, model), drawn).task()


RECIPE = Recipe(
    system="mqt",
    state="partly",
    paper="arXiv:2405.19315",
    knobs=Knobs,
    build=build,
    lesson=lesson,
    score=score,
    tiny={**TINY, "queries": 4},
    claims=(
        Claim(
            text="with a quarter of its queries it answers as many questions right as a LLaVA with all patches, within "
            "2 points",
            source="arXiv:2405.19315, Abstract",
        ),
    ),
)
