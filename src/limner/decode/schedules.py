"""How guidance and temperature change while a picture is drawn: ``schedule(strength, moment)``.

Guidance 1 is none; a schedule of guidance gives 1 where the unconditional prediction has no say.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
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


def power_cosine(power: float) -> Schedule:
    """``1 + (g - 1) * (1 - cos(pi * (s / S)^power)) / 2`` before step s = 0 .. S - 1: none at first, all of it at the
    end; ``power`` above 1 delays it, 0 is constant (Gao et al., MDTv2, arXiv:2303.14389)."""
    return partial(_power_cosine, power)


def _power_cosine(power: float, strength: float, moment: Moment) -> float:
    progress = ((moment.step - 1) / moment.total) ** power
    return 1.0 + (strength - 1.0) * (1.0 - math.cos(math.pi * progress)) / 2.0


def linear(strength: float, moment: Moment) -> float:
    """``1 + (g - 1) * s / S`` before step s = 0 .. S - 1: the first, which knows nothing, has no guidance (Chang et
    al., Muse, arXiv:2301.00704, Section 2.7)."""
    return 1.0 + (strength - 1.0) * (moment.step - 1) / moment.total


def annealed(strength: float, moment: Moment) -> float:
    """``T * (1 - s / S)`` in step s = 1 .. S: no noise in the last (the official code of arXiv:2202.04200)."""
    return strength * (1.0 - moment.step / moment.total)


def annealed_twice(strength: float, moment: Moment) -> float:
    """As `annealed`, with logits that are themselves divided by a temperature falling to 1/2: noise T on logits / t is
    noise ``t * T`` on logits, and ``t = 0.5 + 0.8 * (1 - s / S)`` (TiTok's official sampling)."""
    return annealed(strength, moment) * (0.5 + 0.8 * (1.0 - moment.step / moment.total))


def early(known: int) -> Schedule:
    """All of it while at most ``known`` tokens are known, none after; NAR's ``cfg_interval`` is ``known``, LlamaGen's
    is ``known - 1`` (arXiv:2503.10696 and arXiv:2406.06525, official code)."""

    def schedule(strength: float, moment: Moment) -> float:
        return strength if moment.before <= known else 1.0

    return schedule


def with_steps(strength: float, moment: Moment) -> float:
    """``1 + (g - 1) * (s - 1) / (S - 1)`` in step s of S: none in the first, all of it in the last, as VAR guides
    (arXiv:2404.02905, official code)."""
    return 1.0 + (strength - 1.0) * _progress(moment)


def cooling(strength: float, moment: Moment) -> float:
    """``T / (1 + (s - 1) / (S - 1))`` in step s of S: half in the last, as VAR smooths (official code)."""
    return strength / (1.0 + _progress(moment))


def _progress(moment: Moment) -> float:
    return (moment.step - 1) / max(moment.total - 1, 1)
