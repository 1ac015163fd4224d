"""A vision transformer for pictures of any size and shape, as Ovis 2.5 has it (Lu et al., arXiv:2508.11737; NaViT,
Dehghani et al., arXiv:2307.06304).

    x = W patches + b + positions,   resized (bicubic) from a square to the picture's own grid
    x = x + attention(LN(x)),        queries and keys rotated by row and column
    x = x + mlp(LN(x))

The authors pack pictures of many sizes into one row and keep them apart by a mask; here pictures of one size make a
batch, and the mask falls away. Patches are read before the last LayerNorm, ``pooled`` after it.
"""

from __future__ import annotations

import math
from functools import partial

import torch
from einops import rearrange
from torch import nn
from torch.nn import functional

from limner.encoders.class_attention import Received, attended
from limner.encoders.patch_embedding import PatchEmbedding, encoded, side_of_grid
from limner.nn import rope
from limner.nn.blocks import Attention, Block, Context, Stack
from limner.nn.positions import interpolated
from limner.nn.transformer import Mlp
from limner.types import Image, Patches

EPS = 1e-6  # of the normalisations, as in SigLIP 2


def _block(width: int, heads: int, hidden: int) -> Block:
    mlp = Mlp(width, hidden, partial(functional.gelu, approximate="tanh"))
    return Block(Attention(width, heads), mlp, lambda: nn.LayerNorm(width, eps=EPS))


class NativeTransformer(nn.Module):
    """A `limner.encoders.encoder.VisionEncoder` whose pictures may have any sides that patches fill.

    Args:
        size: pixels on a side of the square picture that positions were learned for.
        patch: pixels on a side of a patch.
        width, depth, heads: of the transformer; heads of a multiple of 4 channels.
        hidden: inner channels of the MLPs.
    """

    def __init__(self, *, size: int, patch: int, width: int, depth: int, heads: int, hidden: int) -> None:
        super().__init__()
        side = side_of_grid(size, patch, width, 4 * heads)
        self.size, self.width, self.heads = size, width, heads
        self.embed = PatchEmbedding(patch, width)
        self.position = nn.Parameter(width**-0.5 * torch.randn(side**2, width))
        self.blocks = Stack(_block(width, heads, hidden) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=EPS)

    def forward(self, image: Image) -> Patches:
        """One vector per patch, row by row, and the mean of the normalised ones; raises `InputError` where sides are no
        multiples of a patch (see `native_size`)."""
        grid = self.embed(image)
        rows, columns = grid.shape[1:3]
        x = rearrange(grid, "b h w d -> b (h w) d")
        x = x + interpolated(self.position, rows, columns).to(x.dtype)
        rotate = rope.Rotary(rope.grid(rows, columns, self.width // self.heads).to(x.device), rope.rotate_halves)
        vectors, positions = encoded(self.blocks, x, rows, columns, Context(rotate=rotate))
        return Patches(vectors, positions, self.norm(vectors).mean(1))

    def attended(self, image: Image) -> tuple[Patches, Received]:
        """See `limner.encoders.class_attention.Attentive`; there is no class token."""
        return attended(self, self.blocks, 0, image)


def native_size(height: int, width: int, *, multiple: int, least: int, most: int) -> tuple[int, int]:
    """Sides that are multiples of ``multiple``, of nearly the same shape, and between ``least`` and ``most`` pixels in
    all; sides below one multiple are brought to it first, and the longer is cut to 200 times the shorter (the authors'
    ``smart_resize``)."""
    if min(height, width) < multiple:
        scale = multiple / min(height, width)
        height, width = (multiple if side == min(height, width) else round(scale * side) for side in (height, width))
    elif max(height, width) > 200 * min(height, width):
        height, width = (min(side, 200 * min(height, width)) for side in (height, width))
    rows, columns = round(height / multiple) * multiple, round(width / multiple) * multiple
    if rows * columns > most:
        shrink = math.sqrt(height * width / most)
        rows, columns = (math.floor(side / shrink / multiple) * multiple for side in (height, width))
    elif rows * columns < least:
        grow = math.sqrt(least / (height * width))
        rows, columns = (math.ceil(side * grow / multiple) * multiple for side in (height, width))
    return rows, columns
