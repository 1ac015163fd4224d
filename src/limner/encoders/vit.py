"""The vision transformer: patches as tokens (Dosovitskiy et al., arXiv:2010.11929, Section 3.1, as CLIP builds it).

    x = LN_pre([class; W patches] + positions),   x = blocks(x),   tokens = LN_post(x)

Every token is normalised before pooling, so the mean of linear readings of patches is the reading of their mean. The
class token, where there is one, is read only by the pooling "class"; the mean is over patches alone, as in SuperClass
(arXiv:2411.03313), whose weights this module holds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, cast

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from limner.errors import InputError
from limner.nn.blocks import Block, vit_blocks
from limner.types import Image


class VisionTransformer(nn.Module):
    """A `limner.encoders.encoder.VisionEncoder`.

    Args:
        size: pixels on a side of the pictures it sees.
        patch: pixels on a side of a patch.
        width, depth, heads: of the transformer.
        hidden: inner channels of the MLPs; four times the width if not given.
        class_token: put a learned token before the patches.
        pool: what stands for the whole picture: the mean of the patches or the class token.
        norm_first: normalise before the blocks, as CLIP does.
        activation: of the MLPs.
        eps: of the normalisations.
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
    ) -> None:
        super().__init__()
        if size % patch or width % heads:
            raise InputError(
                f"pictures of {size} pixels have no whole patches of {patch}, or {width} channels no {heads} equal "
                "heads: choose sizes that divide"
            )
        if pool == "class" and not class_token:
            raise InputError("pooling by the class token needs one: choose pool 'mean' or class_token True")
        self.size, self.grid, self.width, self.pool = size, size // patch, width, pool
        self.embed = nn.Conv2d(3, width, patch, patch, bias=False)
        scale = width**-0.5
        self.class_token = nn.Parameter(scale * torch.randn(width)) if class_token else None
        self.position = nn.Parameter(scale * torch.randn(self.grid**2 + class_token, width))
        self.norm_first = nn.LayerNorm(width, eps=eps) if norm_first else nn.Identity()
        self.blocks = vit_blocks(depth, width, heads, hidden=hidden, activation=activation, eps=eps)
        self.norm = nn.LayerNorm(width, eps=eps)

    def forward(self, image: Image) -> Float[Tensor, "b tokens d"]:
        """All tokens, normalised: the class token first if there is one, then the patches row by row."""
        return self.norm(self.blocks(self.enter(image)))

    def features(self, image: Image) -> Float[Tensor, "b n d"]:
        """One vector per patch."""
        return self(image)[:, -(self.grid**2) :]

    def pooled(self, image: Image) -> Float[Tensor, "b d"]:
        """One vector per picture."""
        tokens = self(image)
        return tokens[:, 0] if self.pool == "class" else tokens[:, -(self.grid**2) :].mean(1)

    @torch.no_grad()
    def attention(self, image: Image) -> Float[Tensor, "b depth heads tokens tokens"]:
        """How much each token (row) attends to each (column), block by block; rows sum to 1."""
        x = self.enter(image)
        maps = []
        for block in self.blocks:
            maps.append(cast(Block, block).weights(x))
            x = block(x)
        return torch.stack(maps, 1)

    def enter(self, image: Image) -> Float[Tensor, "b tokens d"]:
        """Tokens before the first block; raises `InputError` for pictures of another size."""
        if image.shape[-2:] != (self.size, self.size):
            height, width = image.shape[-2:]
            raise InputError(f"this encoder sees {self.size}x{self.size} pixels, not {height}x{width}: resize first")
        patch = self.size // self.grid
        patches = rearrange(image, "b c (h p) (w q) -> b (h w) (c p q)", p=patch, q=patch)
        x = functional.linear(patches, self.embed.weight.flatten(1))  # the convolution, without its overheads
        if self.class_token is not None:
            x = torch.cat([self.class_token.to(x.dtype).expand(len(x), 1, -1), x], 1)
        return self.norm_first(x + self.position.to(x.dtype))
