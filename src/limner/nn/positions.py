"""Where a cell of a grid lies, as waves (Vaswani et al., arXiv:1706.03762, Section 3.5; in two axes: He et al., MAE,
arXiv:2111.06377, Appendix A).

    place(row, column) = [sin(column w) | cos(column w) | sin(row w) | cos(row w)],   w_i = 10000 ** (-4 i / d)
"""

from __future__ import annotations

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from limner.errors import InputError


def grid_positions(grid: int | tuple[int, int], width: int) -> Float[Tensor, "1 n d"]:
    """A vector of ``width`` channels per cell of a square ``grid``, or of (rows, columns), row by row; raises
    `InputError` if they do not divide into four."""
    if width % 4:
        raise InputError(f"{width} channels cannot tell rows and columns by sines and cosines: use a multiple of 4")
    frequencies = 10_000.0 ** -(torch.arange(width // 4, dtype=torch.float64) * 4 / width)
    height, length = (grid, grid) if isinstance(grid, int) else grid
    angles = torch.arange(max(height, length), dtype=torch.float64)[:, None] * frequencies
    waves = torch.cat([angles.sin(), angles.cos()], dim=1)
    columns, rows = waves[:length].expand(height, -1, -1), waves[:height, None].expand(-1, length, -1)
    return torch.cat([columns, rows], dim=-1).reshape(1, height * length, width).float()


def interpolated(table: Float[Tensor, "n d"], rows: int, columns: int) -> Float[Tensor, "m d"]:
    """The positions of a square grid, resampled to ``rows`` x ``columns``; those of the same grid as they are."""
    side = round(len(table) ** 0.5)
    if (rows, columns) == (side, side):
        return table
    square = rearrange(table, "(h w) d -> 1 d h w", h=side).float()
    resized = functional.interpolate(square, size=(rows, columns), mode="bicubic", align_corners=False)
    return rearrange(resized, "1 d h w -> (h w) d").to(table.dtype)
