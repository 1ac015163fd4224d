"""Neighbouring patches with the same heaviest word, as one region, and where in it a label has most room."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from limner.unified.words import PatchWords, Weighed

Cell = tuple[int, int]  # row, column


@dataclass(frozen=True)
class Region:
    """Patches that touch and whose heaviest word is the same.

    ``words``: means over them, heaviest first but for the word they share, which leads.
    """

    cells: frozenset[Cell]
    words: tuple[Weighed, ...]

    @property
    def word(self) -> str:
        return self.words[0].word

    @property
    def weight(self) -> float:
        return self.words[0].weight


@dataclass(frozen=True)
class Room:
    """A rectangle of patches."""

    row: int
    column: int
    rows: int
    columns: int


def regions(read: PatchWords) -> list[Region]:
    """All patches, each in one region; largest first, and then as they are read."""
    rows, columns = read.grid
    left = {(row, column) for row in range(rows) for column in range(columns)}
    found = []
    while left:
        start = min(left)
        word, cells, edge = read.patches[start[0]][start[1]][0].word, {start}, [start]
        while edge:
            row, column = edge.pop()
            for near in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
                if near in left - cells and read.patches[near[0]][near[1]][0].word == word:
                    cells.add(near)
                    edge.append(near)
        left -= cells
        found.append(Region(frozenset(cells), _mean(read, cells, word)))
    return sorted(found, key=lambda region: -len(region.cells))


def _mean(read: PatchWords, cells: set[Cell], word: str) -> tuple[Weighed, ...]:
    total: dict[str, float] = defaultdict(float)
    for row, column in cells:
        for one, weight in read.patches[row][column]:
            total[one] += weight / len(cells)
    order = sorted(total, key=lambda one: (one != word, -total[one], one))
    return tuple(Weighed(one, total[one]) for one in order)


def roomiest(region: Region, ems: float, enough: float) -> Room:
    """The rectangle inside a region in which a line ``ems`` times as wide as its letters are high, with as much again
    above and below, can be largest; letters of ``enough`` patches need be no larger. Among equals the largest, the
    squarest, then the uppermost."""
    rows, columns = (sorted({cell[axis] for cell in region.cells}) for axis in (0, 1))
    top, first = rows[0], columns[0]
    inside = np.zeros((rows[-1] - top + 2, columns[-1] - first + 2), int)
    for row, column in region.cells:
        inside[row - top + 1, column - first + 1] = 1
    area = inside.cumsum(0).cumsum(1)
    best, score = Room(top, first, 1, 1), (0.0, 0, 0)
    height, width = inside.shape
    for up in range(height):
        for down in range(up + 1, height):
            for start in range(width):
                for end in range(start + 1, width):
                    high, wide = down - up, end - start
                    reach = (min(high / 2, wide / ems, enough), high * wide, min(high, wide))
                    full = area[down, end] - area[up, end] - area[down, start] + area[up, start] == high * wide
                    if full and reach > score:
                        best, score = Room(top + up, first + start, high, wide), reach
    return best
