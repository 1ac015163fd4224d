"""The vision transformer: patches as tokens (Dosovitskiy et al., arXiv:2010.11929, Section 3.1, as CLIP builds it).

    x = LN_pre([class; W patches] + positions),   x = blocks(x),   tokens = LN_post(x)

Every token is normalised before pooling, so the mean of linear readings of patches is the reading of their mean.
The class token, where there is one, is read only by the pooling "class"; the mean is over patches alone, as in
SuperClass (arXiv:2411.03313), whose weights this module holds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from limner.encoders.class_attention import Received, attended
from limner.encoders.patch_embedding import PatchEmbedding, Stem, encoded, side_of_grid
from limner.errors import InputError
from limner.nn.blocks import EVERYTHING, vit_blocks
from limner.nn.positions import interpolated
from limner.types import Image, Patches


class VisionTransformer(nn.Module):
    """A `limner.encoders.encoder.VisionEncoder`.

    Args:
        size: pixels on a side of the square images that positions are learned for; others get interpolated positions.
        patch: pixels on a side of a patch.
        width, depth, heads: of the transformer.
        hidden: inner channels of the MLPs; four times the width if not given.
        class_token: put a learned token before the patches.
        pool: what stands for the whole image: the mean of the patches or the class token.
        norm_first: normalise before the blocks, as CLIP does.
        activation: of the MLPs.
        eps: of the normalisations.
        stem: an image to a grid of vectors, ``patch`` pixels apart; a `PatchEmbedding` if not given.
    """

    def __init__(
        self,
        *,
        size: int,
        patch: int,
        width: int,
        depth: int,
        heads: int,
        hidden: int | None = None,
        class_token: bool = False,
        pool: Literal["mean", "class"] = "mean",
        norm_first: bool = True,
        activation: Callable[[Tensor], Tensor] = functional.gelu,
        eps: float = 1e-5,
        stem: Stem | None = None,
    ) -> None:
        super().__init__()
        side = side_of_grid(size, patch, width, heads)
        if pool == "class" and not class_token:
            raise InputError("pooling by the class token needs one: choose pool 'mean' or class_token True")
        self.size, self.width, self.pool = size, width, pool
        self.embed = PatchEmbedding(patch, width, bias=False) if stem is None else stem
        scale = width**-0.5
        self.class_token = nn.Parameter(scale * torch.randn(width)) if class_token else None
        self.position = nn.Parameter(scale * torch.randn(side**2 + class_token, width))
        self.norm_first = nn.LayerNorm(width, eps=eps) if norm_first else nn.Identity()
        self.blocks = vit_blocks(depth, width, heads, hidden=hidden, activation=activation, eps=eps)
        self.norm = nn.LayerNorm(width, eps=eps)

    def forward(self, image: Image) -> Patches:
        """Normalised patches, row by row; raises `InputError` for an image that whole patches do not fill."""
        x, grid = self.enter(image)
        x, positions = encoded(self.blocks, x, *grid, EVERYTHING)
        tokens = self.norm(x)
        vectors = tokens[:, -positions.shape[1] :]
        return Patches(vectors, positions, tokens[:, 0] if self.pool == "class" else vectors.mean(1))

    def enter(self, image: Image) -> tuple[Float[Tensor, "b tokens d"], tuple[int, int]]:
        """Tokens before the first block, the class token first if there is one, and the grid of the patches."""
        grid = self.embed(image)
        rows, columns = grid.shape[1:3]
        x, before = rearrange(grid, "b h w d -> b (h w) d"), 0 if self.class_token is None else 1
        position = torch.cat([self.position[:before], interpolated(self.position[before:], rows, columns)])
        if self.class_token is not None:
            x = torch.cat([self.class_token.to(x.dtype).expand(len(x), 1, -1), x], 1)
        return self.norm_first(x + position.to(x.dtype)), (rows, columns)

    @property
    def before(self) -> int:
        """Tokens in front of the patches."""
        return int(self.class_token is not None)

    def attended(self, image: Image) -> tuple[Patches, Received]:
        """See `limner.encoders.class_attention.Attentive`."""
        return attended(self, self.blocks, self.before, image)
