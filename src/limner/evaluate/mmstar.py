"""MMStar's official scores (Chen et al., arXiv:2403.20330), number for number.

1,500 questions in 6 capabilities of 250, each of three axes. Hits are counted by `first_letter_right`; an axis is
``hits / its questions``, a capability ``hits / 250``, the final score ``hits / 1500``. The two constants are the
authors': with them a run over part of the questions is scored as if the rest were wrong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from limner.errors import InputError
from limner.evaluate.extraction import first_letter_right

AXES: dict[str, tuple[str, str, str]] = {
    "coarse perception": ("image scene and topic", "image style & quality", "image emotion"),
    "fine-grained perception": ("object counting", "recognition", "localization"),
    "instance reasoning": (
        "single-instance reasoning",
        "cross-instance attribute reasoning",
        "cross-instance relation reasoning",
    ),
    "logical reasoning": ("code & sequence reasoning", "diagram reasoning", "common reasoning"),
    "science & technology": (
        "biology & chemistry & physics",
        "electronics & energy & mechanical eng.",
        "geography & earth science & agriculture",
    ),
    "math": ("geometry", "numeric commonsense and calculation", "statistical reasoning"),
}
CAPABILITY_QUESTIONS, ALL_QUESTIONS = 250, 1500  # the constants of the official scorer


class Row(NamedTuple):
    """One answered question: the right letter, what the model answered, the capability and its axis."""

    answer: str
    response: str
    capability: str
    axis: str


def official_scores(rows: Iterable[Row], *, fixed_counts: bool = True) -> dict[str, float]:
    """Shares between 0 and 1 under the official names: "final score", each capability, "capability(axis)".

    ``fixed_counts`` divides capabilities by 250 and the final score by 1500 as the official file does, whatever was
    asked; False divides by the questions there are. Raises InputError for an unknown axis, and for an axis that no
    question is about (where the official file divides by zero).
    """
    counts: Counter[tuple[str, str]] = Counter()
    hits: Counter[tuple[str, str]] = Counter()
    for row in rows:
        if row.axis not in AXES.get(row.capability, ()):
            raise InputError(f"MMStar has no axis '{row.capability}({row.axis})': check both names")
        counts[row.capability, row.axis] += 1
        hits[row.capability, row.axis] += first_letter_right(row.answer, row.response)
    if empty := [
        place for capability, axes in AXES.items() for axis in axes if not counts[place := (capability, axis)]
    ]:
        raise InputError(f"no question is about '{empty[0][0]}({empty[0][1]})': score all of MMStar")
    scores = {"final score": hits.total() / (ALL_QUESTIONS if fixed_counts else counts.total())}
    for capability, axes in AXES.items():
        own = [(capability, axis) for axis in axes]
        count = CAPABILITY_QUESTIONS if fixed_counts else sum(counts[place] for place in own)
        scores[capability] = sum(hits[place] for place in own) / count
        scores |= {f"{capability}({axis})": hits[capability, axis] / counts[capability, axis] for axis in axes}
    return scores
