"""An image as registers of which any first few describe it: FlexTok's encoder (Bachmann et al., arXiv:2502.13967,
Section 3.1), and the transformer of both its halves.

    [patches' | registers'] = transformer([patches | registers])        token i = quantize(project(registers'_i))

A patch attends to all patches, register i to all patches and to registers 1 .. i, so no token depends on a later one.
Both halves work on the latents of another tokenizer, whose grid is cut into patches. A block is

    x <- x + attention(norm(x)),   x <- x + W2 (silu(W1 norm(x)) * W3 norm(x)),    no biases, norms without weights
    attention = softmax((8 / head_dim) norm(q) norm(k)^T) v                      (muP, arXiv:2203.03466, Section 4)

and with a modulation by the time of a flow, one for patches and one for registers, half of the decoder.
"""

from __future__ import annotations

from math import prod
from typing import NamedTuple

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from limner.errors import InputError
from limner.nn.blocks import Attention, Block, Context, Stack
from limner.nn.norms import SwiGlu
from limner.nn.positions import grid_positions
from limner.types import Latents

Patches = Float[Tensor, "b m d"]
Registers = Float[Tensor, "b r d"]


class PatchGrid(NamedTuple):
    """Latents in (rows, columns), of so many channels, and how many on a side make a patch."""

    grid: tuple[int, int]
    channels: int
    patch: int


class TransformerSizes(NamedTuple):
    """Of one half; ``hidden``: inner channels of every gated MLP."""

    width: int
    depth: int
    heads: int
    hidden: int


class HeadNorm(nn.Module):
    """LayerNorm without weights, times ``sqrt(8 / sqrt(head_dim))``: of queries and of keys it turns the usual scale of
    their products, ``1 / sqrt(head_dim)``, into muP's ``8 / head_dim``."""

    def __init__(self, head_dim: int) -> None:
        super().__init__()
        self.head_dim, self.scale = head_dim, (8.0 * head_dim**-0.5) ** 0.5

    def forward(self, x: Float[Tensor, "*n c"]) -> Float[Tensor, "*n c"]:
        return self.scale * functional.layer_norm(x, (self.head_dim,))


class SeparateProjections(nn.Module):
    """Queries, keys and values of three matrices, one after the other."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(width, width, bias=False) for _ in range(3))

    def forward(self, x: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d3"]:
        return torch.cat([self.query(x), self.key(x), self.value(x)], dim=-1)


def register_blocks(sizes: TransformerSizes, *, kinds: int = 0) -> Stack:
    """The transformer of either half; ``kinds``: how many kinds of tokens a time modulates in their own way, 0 if there
    is no time. Raises `InputError` if heads do not divide the width."""
    width, depth, heads, hidden = sizes
    if width % heads:
        raise InputError(f"width {width} does not divide into {heads} heads: use a multiple")

    def block() -> Block:
        attention = Attention(
            width,
            heads,
            qkv=SeparateProjections(width),
            proj=nn.Linear(width, width, bias=False),
            norm=HeadNorm,
        )
        modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, kinds * 6 * width)) if kinds else None
        norm = nn.LayerNorm(width, elementwise_affine=False)
        return Block(attention, SwiGlu(width, hidden), lambda: norm, modulation=modulation)

    stack = Stack(block() for _ in range(depth))
    for name, parameter in stack.named_parameters():
        if ".modulation." in name:
            nn.init.zeros_(parameter)  # a block starts as the identity
        elif parameter.ndim == 2:
            nn.init.xavier_uniform_(parameter)
    return stack


class LatentPatches(nn.Module):
    """Latents ``[b n c]`` in raster order to patches ``[b m width]`` with their positions; raises `InputError` if
    patches do not divide the grid."""

    position: Tensor

    def __init__(self, latents: PatchGrid, width: int) -> None:
        super().__init__()
        grid, channels, patch = latents
        if any(edge % patch for edge in grid):
            raise InputError(f"patches of {patch} do not divide {'x'.join(map(str, grid))} latents: choose a divisor")
        self.grid = rows, columns = grid[0] // patch, grid[1] // patch
        self.patch, self.count = patch, prod(self.grid)
        self.project = nn.Linear(channels * patch**2, width)
        nn.init.xavier_uniform_(self.project.weight)
        position = rearrange(grid_positions((rows, columns), width), "1 (h w) d -> 1 d h w", h=rows)
        self.register_buffer("position", position.contiguous())

    def forward(self, latents: Latents) -> Patches:
        rows, columns = self.grid
        sizes = {"h": rows, "w": columns, "p": self.patch, "q": self.patch}
        patches = self.project(rearrange(latents, "b (h p w q) c -> b (h w) (p q c)", **sizes))
        return patches + rearrange(self.position, "1 d h w -> 1 (h w) d")

    def unpatch(self, values: Float[Tensor, "b m pqc"]) -> Latents:
        """The numbers of each patch where its latents lie."""
        rows, columns = self.grid
        sizes = {"h": rows, "w": columns, "p": self.patch, "q": self.patch}
        return rearrange(values, "b (h w) (p q c) -> b (h p w q) c", **sizes)


class RegisterEncoder(nn.Module):
    """Latents to the features ``[b features 1 count]`` of registers.

    Args:
        latents: what it reads.
        sizes: of the transformer.
        count: registers.
        features: channels that the quantizer reads.
    """

    def __init__(self, latents: PatchGrid, sizes: TransformerSizes, *, count: int, features: int) -> None:
        super().__init__()
        self.count, self.width = count, sizes.width
        self.patches = LatentPatches(latents, self.width)
        self.registers = nn.Parameter(self.width**-0.5 * torch.randn(count, self.width))
        self.blocks = register_blocks(sizes)
        self.project = nn.Linear(self.width, features)

    def forward(self, latents: Latents) -> Float[Tensor, "b f 1 r"]:
        patches = self.patches(latents)
        x = torch.cat([patches, self.registers.expand(len(patches), -1, -1)], dim=1)
        x = self.blocks(x, Context(mask=prefix_mask(self.patches.count, self.count, x.device)))
        registers = functional.layer_norm(x[:, self.patches.count :], (self.width,))
        return rearrange(self.project(registers), "b n c -> b c 1 n")


def prefix_mask(patches: int, registers: int, device: torch.device) -> Bool[Tensor, "n n"]:
    """Which keys (columns) each query (row) sees: all patches, and registers up to its own."""
    index = torch.arange(patches + registers, device=device)
    return (index < patches) | (index <= index[:, None])
