"""Rotary positions: queries and keys are turned by angles that grow with their place (Su et al., arXiv:2104.09864).

Two channels (a, b) of a head make a plane, turned at place p by ``p * base ** (-2i / channels)``, the i-th frequency:

    (a, b) -> (a cos - b sin, b cos + a sin),   so that  <q_p, k_r>  depends on  p - r  alone.

A table holds ``(cos, sin)`` of every place and plane, ``[n, channels / 2, 2]``; on a grid the first half of the planes
turns with the row and the second with the column. Which channels make a plane is the caller's: neighbours (2i, 2i + 1),
as in the paper, by `rotate_pairs`, or i and i + channels / 2, as in GPT-NeoX, by `rotate_halves`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from limner.nn.transformer import take

Table = Float[Tensor, "*places f 2"]
Vectors = Float[Tensor, "*n c"]


def table(places: Float[Tensor, "*places"], channels: int, base: float = 10_000.0) -> Table:
    """Cosines and sines of these places along one axis, for heads of ``channels`` (even)."""
    frequencies = 1.0 / base ** (torch.arange(0, channels, 2).float() / channels)
    angles = places[..., None].float() * frequencies
    return torch.stack([angles.cos(), angles.sin()], dim=-1)


def line(count: int, channels: int, base: float = 10_000.0) -> Float[Tensor, "n f 2"]:
    """The table of places 0 to ``count - 1`` on a line."""
    return table(torch.arange(count).float(), channels, base)


def grid(height: int, width: int, channels: int, base: float = 10_000.0) -> Float[Tensor, "n f 2"]:
    """The table of a grid in raster order, for heads of ``channels``, a multiple of 4."""
    rows, columns = line(height, channels // 2, base), line(width, channels // 2, base)
    rows, columns = rows[:, None].expand(-1, width, -1, -1), columns[None].expand(height, -1, -1, -1)
    return torch.cat([rows, columns], dim=2).flatten(0, 1)


def nowhere(count: int, channels: int) -> Float[Tensor, "n f 2"]:
    """A table that leaves vectors as they are: of tokens without a position."""
    return torch.tensor([1.0, 0.0]).expand(count, channels // 2, 2)


def rotate_pairs(x: Vectors, table: Table) -> Vectors:
    """Turn the planes of neighbouring channels; the table broadcasts over the leading axes of ``x``, and the arithmetic
    is fp32 or finer."""
    planes = torch.view_as_complex(_fine(x).unflatten(-1, (-1, 2)))
    return torch.view_as_real(planes * torch.view_as_complex(_fine(table))).flatten(-2).to(x.dtype)


def rotate_halves(x: Vectors, table: Table) -> Vectors:
    """Turn the planes of channels half a head apart; otherwise as `rotate_pairs`."""
    a, b = _fine(x).chunk(2, dim=-1)
    cos, sin = _fine(table).unbind(-1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1).to(x.dtype)


@dataclass(frozen=True)
class Rotary:
    """The positions of a pass, as `limner.nn.blocks.Context` carries them.

    Args:
        table: of the tokens, alike in all rows or row by row.
        turn: which channels make a plane: `rotate_pairs` or `rotate_halves`.
    """

    table: Float[Tensor, "*b n f 2"]
    turn: Callable[[Vectors, Table], Vectors] = rotate_pairs

    def __call__(self, x: Float[Tensor, "two b heads n c"]) -> Float[Tensor, "two b heads n c"]:
        """Queries and keys, rotated."""
        return self.turn(x, self.table.unsqueeze(-4))

    def at(self, tokens: Int[Tensor, "b kept"]) -> Rotary:
        """The positions of these tokens of each row."""
        table = self.table[tokens] if self.table.ndim == 3 else take(self.table, tokens)
        return Rotary(table, self.turn)


def _fine(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))
