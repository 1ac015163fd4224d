"""Text with pictures in it, as Ovis writes it (arXiv:2405.20797): signs below zero stand for what is no subword.

    ATOM                a place where vectors of a picture go
    MARKS[0 .. 4]       begin, end of the whole, next column, next row, end: vectors that the connector learns

A picture is written whole, then cut into a grid of crops, row by row::

    begin ATOM end-of-whole                                   one crop
    begin ATOM end-of-whole ATOM column ATOM row ... end      more

Ovis 2.5 writes pictures whole, one ATOM per vector between begin and end.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from limner.errors import InputError
from limner.unified.conversation import NOTHING

ATOM = -300
MARKS = (-301, -302, -303, -304, -305)


def written(rows: int, columns: int) -> list[int]:
    """A picture cut into a grid of crops, in signs; the whole alone if the grid is 1 x 1."""
    begin, whole, column, row, end = MARKS
    signs = [begin, ATOM, whole]
    if rows * columns > 1:
        for index in range(rows):
            signs += [ATOM] + [column, ATOM] * (columns - 1) + ([row] if index < rows - 1 else [])
    return [*signs, end]


def unfold(
    ids: Int[Tensor, "n"], told: Int[Tensor, "n"], mask: Bool[Tensor, "n"], count: int
) -> tuple[Int[Tensor, "m"], Int[Tensor, "m"], Bool[Tensor, "m"]]:
    """Every ATOM ``count`` times, where nothing is to be told and nothing masked."""
    atoms = ids == ATOM
    times = torch.where(atoms, count, 1)
    told, mask = torch.where(atoms, NOTHING, told), mask | atoms
    return ids.repeat_interleave(times), told.repeat_interleave(times), mask.repeat_interleave(times)


def padded(rows: Sequence[Tensor], value: float | int, length: int, *, left: bool = False) -> Tensor:
    """Rows as one batch, filled up on one side and cut to ``length`` on the same."""
    batch = pad_sequence(list(rows), True, value, padding_side="left" if left else "right")
    return batch[:, -length:] if left else batch[:, :length]


def interleave(
    ids: Int[Tensor, "*b n"],
    words: Float[Tensor, "v d"],
    visual: Float[Tensor, "m d"],
    indicators: Float[Tensor, "marks d"],
    *,
    atom: int = ATOM,
    marks: Sequence[int] = MARKS,
) -> Float[Tensor, "*b n d"]:
    """Input vectors: words, and in order the picture's vectors where atoms are, and indicators where marks are.

    Raises `InputError` if there are more or fewer atoms than vectors.
    """
    if (places := int((ids == atom).sum())) != len(visual):
        raise InputError(f"a text with places for {places} vectors of pictures was given {len(visual)}")
    signs = torch.tensor(marks[: len(indicators)], device=ids.device)
    special = torch.isin(ids, signs) | (ids == atom)
    x = words[ids.masked_fill(special | (ids < 0), 0)]
    x = x.masked_scatter((ids == atom)[..., None], visual.to(x.dtype))
    which = (ids[..., None] == signs).long().argmax(-1)
    return torch.where(torch.isin(ids, signs)[..., None], indicators.to(x.dtype)[which], x)
