"""AIMv2: a vision transformer built like a language model (Fini et al., arXiv:2411.14402, Section 3.1).

    x = RMSNorm(W patches + b) + positions,   x = x + attention(RMSNorm(x)),   x = x + SwiGLU(RMSNorm(x))

No biases but that of the patches, no class token; a last RMSNorm, before which Ovis 2 reads.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import nn

from limner.encoders.class_attention import Received, attended
from limner.encoders.patch_embedding import PatchEmbedding, encoded, interpolated, side_of_grid
from limner.nn.blocks import EVERYTHING, Attention, Block, Stack
from limner.nn.norms import RmsNorm, SwiGlu
from limner.types import Image, Patches


def _block(width: int, heads: int, hidden: int) -> Block:
    """Attention and SwiGLU, without biases."""
    qkv, proj = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
    return Block(Attention(width, heads, qkv=qkv, proj=proj), SwiGlu(width, hidden), lambda: RmsNorm(width))


class Aimv2(nn.Module):
    """A `limner.encoders.encoder.VisionEncoder`.

    Args:
        size: pixels on a side of the square images that positions are learned for.
        patch: pixels on a side of a patch.
        width, depth, heads: of the transformer.
        hidden: inner channels of the gated MLPs.
        normalised: read after the last norm; otherwise before it, and there is none.
    """

    def __init__(
        self, *, size: int, patch: int, width: int, depth: int, heads: int, hidden: int, normalised: bool = True
    ) -> None:
        super().__init__()
        side = side_of_grid(size, patch, width, heads)
        self.size, self.width = size, width
        self.embed = PatchEmbedding(patch, width)
        self.norm_first = RmsNorm(width)
        self.position = nn.Parameter(width**-0.5 * torch.randn(side**2, width))
        self.blocks = Stack(_block(width, heads, hidden) for _ in range(depth))
        self.norm = RmsNorm(width) if normalised else nn.Identity()

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
