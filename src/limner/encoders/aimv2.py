"""AIMv2: a vision transformer built like a language model (Fini et al., arXiv:2411.14402, Section 3.1).

    x = RMSNorm(W patches + b) + positions,   x = x + attention(RMSNorm(x)),   x = x + SwiGLU(RMSNorm(x))

No biases but that of the patches unless they are asked for, no class token; a last RMSNorm, before which Ovis 2 reads.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from limner.encoders.class_attention import Received, attended
from limner.encoders.patch_embedding import PatchEmbedding, encoded, side_of_grid
from limner.nn.blocks import EVERYTHING, Attention, Block, Stack
from limner.nn.norms import RmsNorm, SwiGlu
from limner.nn.positions import interpolated
from limner.types import Image, Patches


class Aimv2(nn.Module):
    """A `limner.encoders.encoder.VisionEncoder`.

    Args:
        size: pixels on a side of the square images that positions are learned for.
        patch: pixels on a side of a patch.
        width, depth, heads: of the transformer.
        hidden: inner channels of the gated MLPs.
        normalised: read after the last norm; otherwise before it, and there is none.
        qkv_bias, mlp_bias: of the matrices of attention and of the MLPs, which AIMv2 has not.
        activation: of the gates.
        eps: of the norms.
    """

    def __init__(
        self,
        *,
        size: int,
        patch: int,
        width: int,
        depth: int,
        heads: int,
        hidden: int,
        normalised: bool = True,
        qkv_bias: bool = False,
        mlp_bias: bool = False,
        activation: Callable[[Tensor], Tensor] = functional.silu,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        side = side_of_grid(size, patch, width, heads)
        self.size, self.width = size, width
        self.embed = PatchEmbedding(patch, width)
        norm = partial(RmsNorm, width, eps=eps)

        def block() -> Block:
            qkv, proj = nn.Linear(width, 3 * width, qkv_bias), nn.Linear(width, width, qkv_bias)
            mlp = SwiGlu(width, hidden, bias=mlp_bias, activation=activation)
            return Block(Attention(width, heads, qkv=qkv, proj=proj), mlp, norm)

        self.norm_first = norm()
        self.position = nn.Parameter(width**-0.5 * torch.randn(side**2, width))
        self.blocks = Stack(block() for _ in range(depth))
        self.norm = norm() if normalised else nn.Identity()

    def forward(self, image: Image) -> Patches:
        """One vector per patch, row by row, and their mean; raises `InputError` for an image that whole patches do not
        fill."""
        grid = self.embed(image)
        rows, columns = grid.shape[1:3]
        x = self.norm_first(rearrange(grid, "b h w d -> b (h w) d"))
        x = x + interpolated(self.position, rows, columns).to(x.dtype)
        x, positions = encoded(self.blocks, x, rows, columns, EVERYTHING)
        vectors = self.norm(x)
        return Patches(vectors, positions, vectors.mean(1))

    def attended(self, image: Image) -> tuple[Patches, Received]:
        """See `limner.encoders.class_attention.Attentive`; there is no class token."""
        return attended(self, self.blocks, 0, image)
