"""A small encoder that looks at several sizes of a picture, the larger ones in tiles (S2, Scaling on Scales).

    f_s = merge(encoder(tiles of the picture at s times the encoder's size)),      f = [f_1, f_2, ..] at the grid of f_1

Shi et al., arXiv:2403.13043, Section 3.1. Pictures are resized by bicubic interpolation, features by means over areas;
the vectors of the whole are means over tiles. As many patches as before, each of ``len(scales)`` times the channels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from einops import rearrange, reduce
from torch import nn
from torch.nn import functional

from limner.encoders.encoder import VisionEncoder
from limner.errors import InputError
from limner.types import Image, Patches


class SeveralScales(nn.Module):
    """A `limner.encoders.encoder.VisionEncoder` around another, for square pictures.

    Args:
        encoder: sees each tile.
        scales: sizes of the picture, in those of the encoder; each but the first must divide into tiles.
        read: number of the scale whose grid is read.
    """

    def __init__(self, encoder: VisionEncoder, scales: Sequence[int | float] = (1, 2), *, read: int = 0) -> None:
        super().__init__()
        sides = [int(encoder.size * scale) for scale in scales]
        if not scales or min(sides) < 1 or any(side % math.ceil(side / encoder.size) for side in sides):
            raise InputError(f"scales {list(scales)} of {encoder.size} pixels are no whole tiles: choose whole numbers")
        self.encoder, self.scales, self.read = encoder, tuple(scales), read
        self.size, self.width, self.sides = max(sides), encoder.width * len(scales), sides

    def forward(self, image: Image) -> Patches:
        """The patches of one grid, with the channels of every scale; raises `InputError` for pictures not square."""
        if image.shape[-1] != image.shape[-2]:
            raise InputError(f"{image.shape[-2]}x{image.shape[-1]} pixels are no square, which this encoder needs")
        seen = [self._seen(image, side) for side in self.sides]
        rows, columns = seen[self.read][0].shape[-2:]
        grids = [functional.interpolate(grid.float(), (rows, columns), mode="area").to(grid.dtype) for grid, _ in seen]
        vectors = rearrange(torch.cat(grids, 1), "b c h w -> b (h w) c")
        return Patches.on_grid(vectors, rows, columns, torch.cat([pooled for _, pooled in seen], -1))

    def _seen(self, image: Image, side: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The grid ``[b c h w]`` of a picture of so many pixels on a side, and the mean of what its tiles pool."""
        number = math.ceil(side / self.encoder.size)
        if image.shape[-1] != side:
            image = functional.interpolate(image.float(), (side, side), mode="bicubic").to(image.dtype)
        tiles = self.encoder(rearrange(image, "b c (n h) (m w) -> (n m b) c h w", n=number, m=number))
        rows, _ = tiles.grid
        grid = rearrange(tiles.vectors, "(n m b) (h w) c -> b c (n h) (m w)", n=number, m=number, h=rows)
        return grid, reduce(tiles.pooled, "(tiles b) c -> b c", "mean", tiles=number**2)
