"""What there is in the world of scenes: things, their places, their relations, and which compositions are held out.

Lengths are in world units: the picture is 64 units wide and high whatever its size in pixels, x to the right, y down.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from limner.data.scenes.shapes import OUTLINES

WORLD = 64.0
SHAPES: tuple[str, ...] = tuple(OUTLINES)
COLOURS: tuple[str, ...] = ("red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink", "brown", "black")
SIZES: tuple[str, ...] = ("small", "medium", "large")
POSITIONS: tuple[str, ...] = (
    *("top left", "top", "top right"),
    *("left", "middle", "right"),
    *("bottom left", "bottom", "bottom right"),
)
RELATIONS: tuple[str, ...] = ("left", "right", "above", "below")
OPPOSITE: dict[str, str] = {"left": "right", "right": "left", "above": "below", "below": "above"}

# Smaller radii vanish in an 8x8 latent grid (measured: under 8 of 64 units); the gaps keep the three words apart.
RADII: dict[str, tuple[float, float]] = {"small": (8.0, 8.6), "medium": (10.4, 11.2), "large": (13.4, 14.6)}
SEPARATION = 1.05  # centres are at least this times the sum of the radii apart; no shape reaches beyond 1.05 radii
JITTER = 1.0  # a thing on the grid lies at most this far from its place in the cell, along each axis
CLEARANCE = 8.0  # a relation holds only if the centres differ by more than this ...
DOMINANCE = 1.5  # ... and by this factor more than along the other axis
NEAR_MARGIN = 2.0  # off the grid, a position word needs the centre this far inside its cell

# Every shape once, every colour at least once: 12 of the 120 compositions, each part of which is seen in training.
HELD_OUT_PAIRS: frozenset[tuple[str, str]] = frozenset(
    (COLOURS[(3 * row + 1) % len(COLOURS)], shape) for row, shape in enumerate(SHAPES)
)
# The same as names: sprites (the emoji "orange circle" and "purple heart") would show them in training.
HELD_OUT_NAMES: frozenset[str] = frozenset(" ".join(pair) for pair in HELD_OUT_PAIRS)
# Every shape once: 6 of the 66 unordered pairs of different shapes, never together in a training scene.
HELD_OUT_SHAPES: frozenset[frozenset[str]] = frozenset(
    frozenset((SHAPES[row], SHAPES[row + 6])) for row in range(len(SHAPES) // 2)
)

Rgb: TypeAlias = tuple[int, int, int]


@runtime_checkable
class Sprites(Protocol):
    """Named pictures with an alpha channel that can stand in a scene, such as the emoji."""

    def __len__(self) -> int: ...

    def name(self, i: int) -> str: ...

    def rgba(self, i: int, size: int) -> UInt8[np.ndarray, "size size 4"]: ...


@dataclass(frozen=True)
class Thing:
    """One object: its words, its centre and radius in world units, its grid cell (0 .. 8 row by row; -1: off the grid).

    A sprite has ``emoji`` >= 0 (its index), its name as ``shape`` and no colour.
    """

    shape: str
    colour: str
    size: str
    x: float
    y: float
    radius: float
    cell: int = -1
    emoji: int = -1

    @property
    def pair(self) -> tuple[str, str]:
        """``(colour, shape)``: unique within a scene."""
        return self.colour, self.shape

    @property
    def position(self) -> str:
        """The word for its place: of its cell on the grid; off the grid of the third it clearly lies in, or ``""``."""
        if self.cell >= 0:
            return POSITIONS[self.cell]
        third = WORLD / 3
        clear = all(min(v % third, third - v % third) >= NEAR_MARGIN for v in (self.x, self.y))
        return POSITIONS[cell_at(self.x, self.y)] if clear else ""


def cell_at(x: float, y: float) -> int:
    """The grid cell (0 .. 8) that holds a point."""
    third = WORLD / 3
    return 3 * min(int(y / third), 2) + min(int(x / third), 2)


def relation(first: Thing, second: Thing) -> str:
    """Where ``first`` lies, seen from ``second``: left, right, above, below, or ``""`` where no word clearly holds."""
    dx, dy = first.x - second.x, first.y - second.y
    if abs(dx) > CLEARANCE and abs(dx) >= DOMINANCE * abs(dy):
        return "left" if dx < 0 else "right"
    if abs(dy) > CLEARANCE and abs(dy) >= DOMINANCE * abs(dx):
        return "above" if dy < 0 else "below"
    return ""


def held_out_pairs(things: Sequence[Thing]) -> tuple[tuple[str, str], ...]:
    """The held-out (colour, shape) pairs among the things."""
    return tuple(thing.pair for thing in things if thing.pair in HELD_OUT_PAIRS)


def held_out_shapes(things: Sequence[Thing]) -> tuple[frozenset[str], ...]:
    """The held-out pairs of shapes that occur together among the things."""
    together = (frozenset((a.shape, b.shape)) for a, b in combinations(things, 2))
    return tuple(pair for pair in together if pair in HELD_OUT_SHAPES)


def is_held_out(things: Sequence[Thing]) -> bool:
    """Does the scene hold any composition that is never seen in training?"""
    return bool(held_out_pairs(things) or held_out_shapes(things))
