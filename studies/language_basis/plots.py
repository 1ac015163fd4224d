"""Plots of the study as SVG, drawn by hand: lines over a grid of settings, and differences with their intervals.

Lines are named where they end, so that no legend has to be read; whiskers are 95 % bootstrap intervals over seeds.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from limner.evaluate.statistics import Interval

Number: TypeAlias = int | float
Row: TypeAlias = tuple[str, Interval, str]  # name, interval and colour of a difference
FONT = 'font-family="system-ui,sans-serif" font-size="13" fill="#333"'
GRID, FAINT, INK = "#e8e8ec", "#888", "#333"
INDIGO, ORANGE, GREEN, RED, GREY, CYAN, BROWN = (
    *("#3553a8", "#dd7a1f", "#2f8f5b", "#c0392b"),
    *("#8a8f98", "#1f9bb5", "#8a5a2b"),
)
WIDTH, HEIGHT = 800, 410
LEFT, RIGHT, TOP, BOTTOM = 64, 250, 62, 52  # margins of a plot of lines
ROW, HEAD, NAMES = 27, 64, 400  # of a plot of differences
APART = 15  # pixels between names of lines


@dataclass(frozen=True)
class Line:
    """One curve: a point ``(x, interval)`` per setting."""

    name: str
    colour: str
    points: Sequence[tuple[Number, Interval]]
    dashed: bool = False


@dataclass(frozen=True)
class Axis:
    """What is drawn along one side: its label, where it ends, its ticks with their texts, and whether it is
    logarithmic."""

    label: str
    low: Number
    high: Number
    ticks: Sequence[tuple[Number, str]]
    logarithmic: bool = False

    def share(self, value: Number) -> float:
        """Where a value lies, from 0 to 1."""
        low, high, at = (math.log(v) if self.logarithmic else v for v in (self.low, self.high, value))
        return (at - low) / (high - low)


def lines(title: str, x: Axis, y: Axis, drawn: Sequence[Line]) -> str:
    """Curves with whiskers."""
    across, up = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def at(point: tuple[Number, Number]) -> tuple[float, float]:
        return round(LEFT + across * x.share(point[0]), 1), round(TOP + up * (1 - y.share(point[1])), 1)

    parts = [_begin(WIDTH, HEIGHT), _text(16, 22, title, "start", INK, bold=True)]
    for value, text in y.ticks:
        _, height = at((x.low, value))
        parts.append(_stroke(LEFT, height, LEFT + across, height, GRID))
        parts.append(_text(LEFT - 8, height + 4, text, "end", FAINT))
    for value, text in x.ticks:
        left, _ = at((value, y.low))
        parts.append(_text(left, HEIGHT - BOTTOM + 20, text, "middle", FAINT))
    parts.append(_text(LEFT + across / 2, HEIGHT - 10, x.label, "middle", FAINT))
    parts.append(_text(LEFT, TOP - 14, y.label, "start", FAINT))
    ends = []
    for line in drawn:
        points = [
            (at((value, found.mean)), at((value, found.low)), at((value, found.high))) for value, found in line.points
        ]
        path = " ".join(f"{left},{height}" for (left, height), _, _ in points)
        dash = ' stroke-dasharray="5 4"' if line.dashed else ""
        parts.append(f'<polyline points="{path}" fill="none" stroke="{line.colour}" stroke-width="2.2"{dash}/>')
        for (left, height), (_, low), (_, high) in points:
            parts.append(_stroke(left, low, left, high, line.colour, 1.2))
            parts.append(f'<circle cx="{left}" cy="{height}" r="3.4" fill="{line.colour}"/>')
        ends.append((points[-1][0][1], line))
    for height, line in _spread(ends):
        parts.append(_text(WIDTH - RIGHT + 12, height + 4, line.name, "start", line.colour))
    return "\n".join([*parts, "</svg>", ""])


def differences(title: str, rows: Sequence[Row], bounds: Sequence[float], ticks: Sequence[float]) -> str:
    """Shares in points, one a row; ``bounds`` are drawn dotted, and nothing beyond the
    outer ``ticks``."""
    height = HEAD + ROW * len(rows) + 12
    axis = Axis("", ticks[0], ticks[-1], ())

    def across(value: float) -> float:
        return round(NAMES + (WIDTH - NAMES - 24) * min(max(axis.share(value), 0.0), 1.0), 1)

    parts = [_begin(WIDTH, height), _text(16, 22, title, "start", INK, bold=True)]
    for value in ticks:
        left = across(value)
        parts.append(_stroke(left, HEAD - 14, left, height - 8, GREY if value == 0 else GRID))
        parts.append(_text(left, HEAD - 20, f"{100 * value:.0f}", "middle", FAINT))
    for value in bounds:
        left = across(value)
        dotted = 'stroke-dasharray="2 3"'
        parts.append(f'<line x1="{left}" x2="{left}" y1="{HEAD - 14}" y2="{height - 8}" stroke="{RED}" {dotted}/>')
    for index, (name, found, colour) in enumerate(rows):
        middle = HEAD + 4 + ROW * index
        parts.append(_text(NAMES - 16, middle + 4, name, "end", INK))
        parts.append(_stroke(across(found.low), middle, across(found.high), middle, colour, 3))
        parts.append(f'<circle cx="{across(found.mean)}" cy="{middle}" r="5" fill="{colour}"/>')
    return "\n".join([*parts, "</svg>", ""])


def _spread(ends: Sequence[tuple[Number, Line]]) -> list[tuple[float, Line]]:
    """Names where their lines end, moved apart where they would overlap, and kept inside the plot."""
    placed: list[tuple[float, Line]] = []
    for height, line in sorted(ends, key=lambda one: one[0]):
        placed.append((max(height, placed[-1][0] + APART) if placed else height, line))
    over = placed[-1][0] - (HEIGHT - BOTTOM) if placed else 0.0
    return [(height - max(over, 0.0), line) for height, line in placed]


def _begin(width: int, height: int) -> str:
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {FONT}><rect width="100%" height="100%" fill="#fff"/>'


def _text(left: Number, top: Number, text: str, anchor: str, colour: str, *, bold: bool = False) -> str:
    weight = ' font-weight="600"' if bold else ""
    place = f'x="{round(left, 1)}" y="{round(top, 1)}" text-anchor="{anchor}"'
    return f'<text {place} fill="{colour}"{weight}>{html.escape(text)}</text>'


def _stroke(x1: Number, y1: Number, x2: Number, y2: Number, colour: str, width: Number = 1.0) -> str:
    return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{colour}" stroke-width="{width}"/>'
