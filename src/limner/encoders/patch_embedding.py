"""What every vision transformer begins and ends with: patches as vectors, learned positions for grids of any shape,
and which patches are left after the blocks.

    x_ij = W vec(patch_ij) + b,        x_ij <- x_ij + P(i, j)

(Dosovitskiy et al., arXiv:2010.11929, Eq. 1.) ``P`` is learned for the square grid of the training images; for other
grids it is interpolated, bicubic, as that paper does (Section 3.2).
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from limner.errors import InputError
from limner.nn.blocks import Context, Stack
from limner.nn.transformer import Sequence
from limner.types import Image, raster

Grid = Float[Tensor, "b rows columns d"]


@runtime_checkable
class Stem(Protocol):
    """An image to a grid of vectors, ``patch`` pixels apart: a `PatchEmbedding`, or what a paper has in its place."""

    patch: int

    def __call__(self, image: Image) -> Grid: ...


class PatchEmbedding(nn.Conv2d):
    """A convolution whose stride is its kernel, computed as one matrix product.

    Args:
        patch: pixels on a side of a patch.
        width: channels of a vector.
        bias: add one.
    """

    def __init__(self, patch: int, width: int, *, bias: bool = True) -> None:
        super().__init__(3, width, patch, patch, bias=bias)
        self.patch = patch

    def forward(self, image: Image) -> Grid:
        """Raises `InputError` if a side of the image is no multiple of a patch."""
        height, width = image.shape[-2:]
        if height % self.patch or width % self.patch:
            raise InputError(
                f"{height}x{width} pixels are no whole patches of {self.patch}: resize to multiples of {self.patch}"
            )
        patches = rearrange(image, "b c (h p) (w q) -> b h w (c p q)", p=self.patch, q=self.patch)
        return functional.linear(patches, self.weight.flatten(1), self.bias)


def side_of_grid(size: int, patch: int, width: int, multiple: int) -> int:
    """Patches on a side of square images of ``size`` pixels; raises `InputError` unless patches fill these, and
    ``multiple``, heads times the multiple that each head's channels must be of, divides the width."""
    if size % patch or width % multiple:
        raise InputError(
            f"images of {size} pixels have no whole patches of {patch}, or {width} channels are no multiple of "
            f"{multiple}, which the heads need: choose sizes that divide"
        )
    return size // patch


def encoded(
    blocks: Stack, x: Sequence, rows: int, columns: int, context: Context
) -> tuple[Float[Tensor, "b kept d"], Int[Tensor, "b patches 2"]]:
    """Tokens after the blocks, and row and column of the patches among them, which come last. A hook of the stack may
    drop patches (by `Context.at`), but none of the tokens before them.

    Args:
        blocks: of the encoder.
        x: tokens of which the last ``rows * columns`` are patches, row by row.
        rows, columns: of the grid of patches.
        context: of the pass.
    """
    count, before = x.shape[1], x.shape[1] - rows * columns
    numbers = torch.arange(count, device=x.device).expand(len(x), -1)
    x, left = blocks.run(x, context._replace(tokens=numbers))
    assert left.tokens is not None
    return x, raster(rows, columns, x.device)[left.tokens[:, before:] - before]
