"""ACDiT's backbone: block after block of a picture or a film, each denoised by a DiT that reads clean earlier blocks.

    noised    x + gate * f(norm(x) * (1 + scale) + shift),   modulated by  time(t) + mean(condition)
    read      x + f(norm(x)):  the same weights, and no condition            (arXiv:2412.07720)

Blocks of one token make it autoregressive token by token, one block a diffusion transformer of the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import pi, prod

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from limner.generators.backbones.backbone import Contexts, Embedded
from limner.generators.backbones.denoising import Conditions, NoisedBlocks, await_noise, modulation_by_level, spread
from limner.generators.conditions import Conditioning
from limner.nn.blocks import Attention, Block, Context, Stack, modulate
from limner.nn.cache import Cache, KeyValueCache
from limner.nn.norms import RmsNorm
from limner.nn.rope import Rotary, nowhere
from limner.nn.timesteps import TimestepEmbedding
from limner.nn.transformer import Mlp
from limner.types import Steps


class BlockwiseTransformer(nn.Module):
    """Any order whose steps hold equally many tokens in every row.

    Args:
        axes: lengths of (rows, columns) or (frames, rows, columns) in tokens, which are in raster order.
        split: how the channels of a head are shared among the axes, in proportion.
        width, depth, heads: of the transformer.
        prefix: condition tokens that every block also reads; ACDiT has none.
    """

    rope: Tensor
    noisy = False

    def __init__(
        self, *, axes: Sequence[int], split: Sequence[int], width: int, depth: int, heads: int, prefix: int = 0
    ) -> None:
        super().__init__()
        self.width, self.count, self.prefix = width, prod(axes) + prefix, prefix

        norm = partial(RmsNorm, eps=1e-6)

        def block() -> Block:
            return Block(
                mlp=Mlp(width, 4 * width, partial(functional.gelu, approximate="tanh")),
                attn=Attention(width, heads, norm=norm),
                norm=partial(norm, width),
                modulation=nn.Linear(width, 6 * width),
            )

        self.time = TimestepEmbedding(width)
        self.blocks = Stack(block() for _ in range(depth))
        self.norm = norm(width)
        self.modulation = nn.Linear(width, 2 * width)
        table = torch.cat([mixed_table(axes, split, width // heads), nowhere(prefix, 2 * width // heads)])
        self.register_buffer("rope", table, persistent=False)
        self.initialise()

    def initialise(self) -> None:
        """Xavier weights; modulations at zero, so that blocks start as the identity."""
        for name, module in self.named_modules():
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)
                if name.endswith("modulation"):
                    nn.init.zeros_(module.weight)
                elif not name.startswith("time"):
                    nn.init.xavier_uniform_(module.weight)

    def cache(self) -> KeyValueCache:
        """Room for the keys and values of all tokens and of what is read of the condition."""
        return KeyValueCache(self.count, len(self.blocks), self.prefix)

    def forward(
        self,
        x: Embedded,
        steps: Steps,
        condition: Conditioning,
        targets: Int[Tensor, "b m"],
        cache: KeyValueCache | None = None,
    ) -> NoisedBlocks:
        return await_noise(self, x, steps, condition, targets, cache)

    def conditions(self, t: Int[Tensor, "b levels"], pooled: Float[Tensor, "b d"]) -> Conditions:
        """What the modulations read."""
        return functional.silu(self.time(t) + pooled[:, None])

    def conditions_clean(self, pooled: Float[Tensor, "b d"]) -> None:
        """Clean tokens have no condition."""
        return

    def run(
        self,
        x: Embedded,
        place: Int[Tensor, "b n"],
        conditions: Conditions | None,
        level: Int[Tensor, "n"],
        mask: Bool[Tensor, "n total"] | None,
        cache: Cache | None,
    ) -> Contexts:
        """One pass over tokens at these places; without conditions, of clean tokens."""
        modulation = modulation_by_level(self.blocks, conditions, level)
        x = self.blocks(x, Context(mask, Rotary(self.rope[place], rotate_mixed), modulation, cache))
        if conditions is None:
            return x
        shift, scale = spread(self.modulation(conditions), level).chunk(2, dim=-1)
        return modulate(self.norm(x), shift, scale)


# ACDiT's positions are made like rotary ones, but a plane mixes halves of the whole head, and so angles of two axes:
# they are no rotation. The published weights were trained so; anything new should use `limner.nn.rope`.


def base(length: int) -> int:
    """Of an axis: 8 lengths / pi, rounded up to a multiple of 100."""
    return (int(8 * length / pi) // 100 + 1) * 100


def shares(channels: int, split: Sequence[int]) -> list[int]:
    """Channels of each axis, in proportion to ``split``."""
    return [2 * part * (channels // 2 // sum(split)) for part in split]


def mixed_table(lengths: Sequence[int], split: Sequence[int], channels: int) -> Float[Tensor, "n c 2"]:
    """Cosines and sines of the angles of all places in raster order, the last axis fastest. Each axis gets a share of
    the channels and fills it twice:

        [f_1 f_1 | f_2 f_2 | ...],   f_a = place_a * base_a ** -(0 .. 1, both ends, in channels_a / 2 steps)
    """
    parts = shares(channels, split)
    if sum(parts) != channels:
        raise ValueError(f"{channels} channels of a head cannot be split {split}: their sum must divide half of them")
    places = torch.meshgrid(*(torch.arange(length) for length in lengths), indexing="ij")
    angles = []
    for place, length, part in zip(places, lengths, parts, strict=True):
        exponents = torch.arange(part // 2) / max(part // 2 - 1, 1)
        angle = place.flatten()[:, None] * (1.0 / base(length) ** exponents)
        angles += [angle, angle]
    return torch.stack([torch.cat(angles, -1).cos(), torch.cat(angles, -1).sin()], dim=-1)


def rotate_mixed(x: Float[Tensor, "*n c"], table: Float[Tensor, "*#n c 2"]) -> Float[Tensor, "*n c"]:
    """``x cos(angles) + half(x) sin(angles)``, ``half(a, b) = (-b, a)`` of the halves of a head; the arithmetic is fp32
    or finer."""
    fine = x.to(torch.promote_types(x.dtype, torch.float32))
    cos, sin = table.to(fine.dtype).unbind(-1)
    a, b = fine.chunk(2, dim=-1)
    return (fine * cos + torch.cat([-b, a], dim=-1) * sin).to(x.dtype)
