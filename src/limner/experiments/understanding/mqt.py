"""MQT: what the first quarter of its queries answers, against a LLaVA with all patches."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from limner.experiments.claims import no_worse
from limner.experiments.understanding.arms import PARTS, PLAIN
from limner.experiments.world import Arm
from limner.recipe import Recipe

QUARTER = 16


def by_a_quarter(recipe: Recipe[Any, Any]) -> Recipe[Any, Any]:
    """The recipe of a model that answers by its first queries; it learns by any number."""
    from limner.lessons.counts import of_count

    return replace(recipe, build=lambda knobs: of_count(recipe.build(knobs), QUARTER))


FIRST = Arm("mqt-quarter", "understanding/mqt", {**PARTS, "queries": 64}, variant=by_a_quarter)

CLAIMS = (no_worse(FIRST, PLAIN, 0.02, "answers"),)
