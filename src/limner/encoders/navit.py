"""A vision transformer for pictures of any size and shape, as Ovis 2.5 has it (Lu et al., arXiv:2508.11737; NaViT,
Dehghani et al., arXiv:2307.06304).

    x = W patches + b + positions,   resized (bicubic) from a square to the picture's own grid
    x = x + attention(LN(x)),        queries and keys turned by row and column
    x = x + mlp(LN(x))

The authors pack pictures of many sizes into one row and keep them apart by a mask; here pictures of one size make a
batch, and the mask falls away. Features are read before the last LayerNorm, `pooled` after it.
"""

from __future__ import annotations

import math
from functools import partial

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from limner.errors import InputError
from limner.nn import rope
from limner.nn.transformer import Mlp, attend
from limner.types import Image

EPS = 1e-6  # of the normalisations, as in SigLIP 2
Turns = Float[Tensor, "n f 2"]


class TurnedAttention(nn.Module):
    """Multi-head self-attention, queries and keys turned by their places, planes half a head apart."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Float[Tensor, "b n d"], turns: Turns) -> Float[Tensor, "b n d"]:
        qkv = rearrange(self.qkv(x), "b n (three heads c) -> three b heads n c", three=3, heads=self.heads)
        query, key = rope.rotate_halves(qkv[:2], turns).unbind(0)
        return self.proj(rearrange(attend(query, key, qkv[2]), "b heads n c -> b n (heads c)"))


class TurnedBlock(nn.Module):
    """Attention and MLP, each on a normalised input and added to it."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(width, eps=EPS), TurnedAttention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=EPS)
        self.mlp = Mlp(width, hidden, partial(functional.gelu, approximate="tanh"))

    def forward(self, x: Float[Tensor, "b n d"], turns: Turns) -> Float[Tensor, "b n d"]:
        x = x + self.attn(self.norm1(x), turns)
        return x + self.mlp(self.norm2(x))


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
        if size % patch or width % (4 * heads):
            raise InputError(
                f"pictures of {size} pixels have no whole patches of {patch}, or {width} channels no {heads} heads of "
                "a multiple of 4: choose sizes that divide"
            )
        self.size, self.grid, self.width, self.patch, self.heads = size, size // patch, width, patch, heads
        self.embed = nn.Conv2d(3, width, patch, patch)
        self.position = nn.Parameter(width**-0.5 * torch.randn(self.grid**2, width))
        self.blocks = nn.ModuleList(TurnedBlock(width, heads, hidden) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=EPS)

    def features(self, image: Image) -> Float[Tensor, "b n d"]:
        """One vector per patch, row by row; raises `InputError` where sides are no multiples of a patch."""
        height, width = image.shape[-2:]
        if height % self.patch or width % self.patch:
            raise InputError(f"{height}x{width} pixels are no whole patches of {self.patch}: resize to `native_size`")
        rows, columns = height // self.patch, width // self.patch
        patches = rearrange(image, "b c (h p) (w q) -> b (h w) (c p q)", p=self.patch, q=self.patch)
        x = functional.linear(patches, self.embed.weight.flatten(1), self.embed.bias)
        x = x + self.positions(rows, columns).to(x.dtype)
        turns = rope.grid(rows, columns, self.width // self.heads).to(x.device)
        for block in self.blocks:
            x = block(x, turns)
        return x

    def positions(self, rows: int, columns: int) -> Float[Tensor, "n d"]:
        """Those of a grid of this shape."""
        square = rearrange(self.position, "(h w) d -> 1 d h w", h=self.grid)
        resized = functional.interpolate(square.float(), size=(rows, columns), mode="bicubic", align_corners=False)
        return rearrange(resized, "1 d h w -> (h w) d")

    def pooled(self, image: Image) -> Float[Tensor, "b d"]:
        """The mean of the normalised patches."""
        return self.norm(self.features(image)).mean(1)


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
