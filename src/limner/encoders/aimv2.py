"""AIMv2: a vision transformer built like a language model (Fini et al., arXiv:2411.14402, Section 3.1).

    x = RMSNorm(W patches + b) + positions,   x = x + attention(RMSNorm(x)),   x = x + SwiGLU(RMSNorm(x))

No biases but that of the patches, no class token; a last RMSNorm, before which Ovis 2 reads.
"""

from __future__ import annotations

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from limner.errors import InputError
from limner.nn.blocks import Attention, Block, Stack
from limner.nn.norms import RmsNorm, SwiGlu
from limner.types import Image


def _block(width: int, heads: int, hidden: int) -> Block:
    """Attention and SwiGLU, without biases."""
    qkv, proj = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
    return Block(Attention(width, heads, qkv=qkv, proj=proj), SwiGlu(width, hidden), lambda: RmsNorm(width))


class Aimv2(nn.Module):
    """A `limner.encoders.encoder.VisionEncoder`.

    Args:
        size: pixels on a side of the pictures it sees.
        patch: pixels on a side of a patch.
        width, depth, heads: of the transformer.
        hidden: inner channels of the gated MLPs.
        normalised: read after the last norm; otherwise before it, and there is none.
    """

    def __init__(
        self, *, size: int, patch: int, width: int, depth: int, heads: int, hidden: int, normalised: bool = True
    ) -> None:
        super().__init__()
        if size % patch or width % heads:
            raise InputError(
                f"pictures of {size} pixels have no whole patches of {patch}, or {width} channels no {heads} equal "
                "heads: choose sizes that divide"
            )
        self.size, self.grid, self.width = size, size // patch, width
        self.embed = nn.Conv2d(3, width, patch, patch)
        self.norm_first = RmsNorm(width)
        self.position = nn.Parameter(width**-0.5 * torch.randn(self.grid**2, width))
        self.blocks = Stack(_block(width, heads, hidden) for _ in range(depth))
        self.norm = RmsNorm(width) if normalised else nn.Identity()

    def features(self, image: Image) -> Float[Tensor, "b n d"]:
        """One vector per patch, row by row; raises `InputError` for pictures of another size."""
        if image.shape[-2:] != (self.size, self.size):
            height, width = image.shape[-2:]
            raise InputError(f"this encoder sees {self.size}x{self.size} pixels, not {height}x{width}: resize first")
        patch = self.size // self.grid
        patches = rearrange(image, "b c (h p) (w q) -> b (h w) (c p q)", p=patch, q=patch)
        x = functional.linear(patches, self.embed.weight.flatten(1), self.embed.bias)
        return self.norm(self.blocks(self.norm_first(x) + self.position.to(x.dtype)))

    def pooled(self, image: Image) -> Float[Tensor, "b d"]:
        """The mean of the patches."""
        return self.features(image).mean(1)
