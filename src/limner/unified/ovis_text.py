"""Texts with pictures as Ovis writes them (arXiv:2405.20797), as segments: placeholders below zero are no subwords.

    ATOM                vectors of a picture, or of a crop of it
    MARKS[0 .. 4]       special tokens: begin, end of the whole, next column, next row, end

A picture is written whole, then cut into a grid of crops, row by row::

    begin ATOM end-of-whole end                               one crop
    begin ATOM end-of-whole ATOM column ATOM row ... end      more

Ovis 2.5 writes pictures whole, one ATOM per vector between begin and end.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from jaxtyping import Float, Int
from torch import Tensor

from limner.errors import InputError
from limner.unified.segments import NOTHING, Segment

ATOM = -300
MARKS = (-301, -302, -303, -304, -305)


def written(rows: int, columns: int) -> list[int]:
    """Placeholders of a picture cut into a grid of crops; of the whole alone if the grid is 1 x 1."""
    begin, whole, column, row, end = MARKS
    signs = [begin, ATOM, whole]
    if rows * columns > 1:
        for index in range(rows):
            signs += [ATOM] + [column, ATOM] * (columns - 1) + ([row] if index < rows - 1 else [])
    return [*signs, end]


def segments_of(
    ids: Int[Tensor, "n"],
    labels: Int[Tensor, "n"],
    crops: Sequence[Float[Tensor, "m d"]],
    *,
    atom: int = ATOM,
    marks: Sequence[int] = MARKS,
) -> list[Segment]:
    """The segments of a text; an ATOM is the vectors of the next crop. ``labels``: `NOTHING` where nothing is learned.

    Raises `InputError` if there are more or fewer atoms than crops.
    """
    if (atoms := int((ids == atom).sum())) != len(crops):
        raise InputError(f"a text holds {atoms} placeholders of pictures, but vectors of {len(crops)} were given")
    row: list[Segment] = []
    left = iter(crops)

    def sort(token: tuple[int, int]) -> tuple[int, bool]:
        special = (1 if token[0] in marks else 0) + (2 if token[0] == atom else 0)
        return special, special == 0 and token[1] != NOTHING

    for (special, learned), run in groupby(zip(ids.tolist(), labels.tolist(), strict=True), sort):
        tokens = [token for token, _ in run]
        if special == 2:
            row += [Segment("seen", values=next(left)) for _ in tokens]
        elif special == 1:
            row.append(Segment("special", [list(marks).index(token) for token in tokens]))
        else:
            row.append(Segment("text", [max(token, 0) for token in tokens], learned=learned))
    return row
