"""How guidance and temperature change while a picture is drawn: ``schedule(strength, moment)``.

Guidance 1 is none; a schedule of guidance gives 1 where the unconditional prediction has no say.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class Moment:
    """Where the sampling loop stands: step ``step`` of ``total`` draws the tokens from ``before`` to ``after``, counted
    in the order of drawing, of the ``count`` tokens of the picture."""

    step: int
    total: int
    before: int
    after: int
    count: int


Schedule: TypeAlias = Callable[[float, Moment], float]


def constant(strength: float, moment: Moment) -> float:
    """The same all the time."""
    return strength


def with_known(strength: float, moment: Moment) -> float:
    """``1 + (g - 1) * after / count``: little at first, as MAR and Muse guide (arXiv:2406.11838,
    Section 4; the official code counts one token as never known)."""
    known = moment.after - (moment.step == moment.total)
    return 1.0 + (strength - 1.0) * known / moment.count
