"""What is told of the second half of H5: answers and drawings of one language model, taught alone and together."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from limner.evaluate.statistics import Interval
from studies.language_basis.drawn import PARTS
from studies.language_basis.evidence import (
    Read,
    Values,
    drawings,
    interval,
    jointly,
    mean,
    minus,
    overall,
)
from studies.language_basis.joint import JOINT
from studies.language_basis.plan import Results, joint_rate
from studies.language_basis.plots import CYAN, INDIGO, ORANGE, Row, differences
from studies.language_basis.sections import Section
from studies.language_basis.tables import Table, percent, signed

TITLE = {
    "see": "answers alone",
    "draw": "drawings alone",
    "shared": "both, drawn tokens through the words",
    "separate": "both, an input of their own",
    "paced": "answers alone, at the rate of both",
    "shuffled": "both, drawings of other captions",
}
COMPARED = (  # of an arm with another, by what both do
    ("shared", "see", "answers"),
    ("shared", "paced", "answers"),
    ("separate", "see", "answers"),
    ("shuffled", "see", "answers"),
    ("shared", "separate", "answers"),
    ("shared", "draw", "drawings"),
    ("separate", "draw", "drawings"),
    ("shared", "separate", "drawings"),
)
READ: dict[str, Read] = {"answers": overall, "drawings": drawings}


def joint_section(results: Results) -> Section:
    """The second half of H5."""
    return Section([joint_table(results), gap_table(results)], {"h5-together": gap_plot(results)})


def distance(result: dict[str, Any]) -> float:
    """Frechet distance of the drawings."""
    return result["drawn"]["frechet"]


def part_of(name: str) -> Read:
    """Accuracy of one thing that was asked of drawings."""
    return lambda result: result["drawn"]["test"][name]


def scored(results: Results, arm: str, read: Read, sees: bool) -> Values:
    """Of an arm that has such a number."""
    lacks = ("draw",) if sees else ("see", "paced")
    return {} if arm in lacks else jointly(results, arm, read)


def joint_table(results: Results) -> Table:
    """Accuracy of answers and of drawings, by arm; what has not been taught is left out."""
    rows = []
    for arm in JOINT:
        drawn = [scored(results, arm, part_of(name), False) for name in PARTS]
        far = interval(scored(results, arm, distance, False))
        rows.append(
            [
                TITLE[arm],
                _or_dash(percent, scored(results, arm, overall, True)),
                _or_dash(percent, scored(results, arm, drawings, False)),
                *(f"{100 * mean(some):.1f}" if some else "-" for some in drawn),
                "-" if math.isnan(far.mean) else f"{far.mean:.3f} ({far.low:.3f} to {far.high:.3f})",
                str(len(jointly(results, arm, lambda one: 1.0))),
            ]
        )
    return ["%", "answers (95 %)", "drawings (95 %)", *PARTS, "distance", "seeds"], [
        row for row in rows if row[-1] != "0"
    ]


def _or_dash(text: Callable[[Interval], str], some: Values) -> str:
    return text(interval(some)) if some else "-"


def compared(results: Results) -> list[tuple[str, str, str, Values]]:
    """Differences of arms, in pairs: first, second, of what, and by seed."""
    return [(a, b, of, minus(*(jointly(results, arm, READ[of]) for arm in (a, b)))) for a, b, of in COMPARED]


def gap_table(results: Results) -> Table:
    """What is compared with what."""
    rows = []
    for first, second, of, gap in compared(results):
        name = f"{of}: {TITLE[first]}, less {TITLE[second]}"
        distances = [scored(results, arm, distance, False) for arm in (first, second)]
        far = interval(minus(*distances)) if of == "drawings" else interval({})
        text = "-" if math.isnan(far.mean) else f"{far.mean:+.3f} ({far.low:+.3f} to {far.high:+.3f})"
        rows.append([name, signed(interval(gap)), text, str(len(gap))])
    return ["", "points (95 %)", "distance", "seeds"], [row for row in rows if row[-1] != "0"]


def cost_table(results: Results) -> Table:
    """What a training of each arm takes."""
    rows = []
    for arm in JOINT:
        known = {name: jointly(results, arm, _number(name)) for name in ("parameters", "operations")}
        seconds = jointly(results, arm, lambda one: one["seconds"]["cpu"])
        chosen = joint_rate(arm, results)
        if chosen is not None and seconds:
            rows.append(
                [
                    TITLE[arm],
                    f"{mean(known['parameters']):,.0f}",
                    f"{mean(known['operations']) / 1e6:,.0f}",
                    f"{chosen:g}",
                    f"{mean(seconds):.0f}",
                ]
            )
    return ["", "parameters", "operations of a step, M", "rate", "CPU seconds"], rows


def _number(name: str) -> Read:
    return lambda result: float(result[name])


def gap_plot(results: Results) -> str:
    """The differences, drawn; nothing where nothing has been measured."""
    drawn: list[Row] = []
    for first, second, of, gap in compared(results):
        colour = ORANGE if second == "separate" else INDIGO if of == "answers" else CYAN
        if gap:
            drawn.append((f"{of}: {NAMED[first]} less {NAMED[second]}", interval(gap), colour))
    if not drawn:
        return ""
    edge = max(max(abs(found.low), abs(found.high)) for _, found, _ in drawn)
    step = next(step for step in (0.01, 0.02, 0.05, 0.1, 0.2) if 5 * step >= edge)
    ticks = [step * place for place in range(-5, 6)]
    return differences("What answering and drawing do to each other, points", drawn, (-0.01,), ticks)


NAMED = {
    "see": "answers alone",
    "draw": "drawings alone",
    "shared": "together through words",
    "separate": "together, own input",
    "paced": "alone, same rate",
    "shuffled": "beside other drawings",
}
