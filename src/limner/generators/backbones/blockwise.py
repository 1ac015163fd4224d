"""ACDiT's backbone: block after block of a picture or a film, each denoised by a DiT that reads clean earlier blocks.

    noised    x + gate * f(norm(x) * (1 + scale) + shift),   steered by  time(t) + mean(condition)
    read      x + f(norm(x)):  the same weights, and no condition            (arXiv:2412.07720)

Blocks of one token make it autoregressive token by token, one block a diffusion transformer of the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import prod

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from limner.generators.backbones.backbone import Contexts, Embedded
from limner.generators.backbones.denoising import NoisedBlocks, Steering, await_noise
from limner.nn import mixed_rope
from limner.nn.blocks import modulate
from limner.nn.cache import Cache, KeyValueCache
from limner.nn.norms import RmsNorm
from limner.nn.steered import SteeredBlock, spread
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

        def mlp() -> Mlp:
            return Mlp(width, 4 * width, partial(functional.gelu, approximate="tanh"))

        self.time = TimestepEmbedding(width)
        self.blocks = nn.ModuleList(
            SteeredBlock(width, heads, mlp(), learned=True, normalised=True) for _ in range(depth)
        )
        self.norm = RmsNorm(width, eps=1e-6)
        self.modulation = nn.Linear(width, 2 * width)
        places = torch.cat([mixed_rope.table(axes, split, width // heads), mixed_rope.nowhere(prefix, width // heads)])
        self.register_buffer("rope", places, persistent=False)
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
        prefix: Float[Tensor, "b k d"],
        wanted: Int[Tensor, "b m"],
        cache: KeyValueCache | None = None,
    ) -> NoisedBlocks:
        return await_noise(self, x, steps, prefix, wanted, cache)

    def steer(self, t: Int[Tensor, "b levels"], given: Float[Tensor, "b d"]) -> Steering:
        """What the modulations read."""
        return functional.silu(self.time(t) + given[:, None])

    def steer_read(self, given: Float[Tensor, "b d"]) -> None:
        """What is read has no condition."""
        return

    def run(
        self,
        x: Embedded,
        place: Int[Tensor, "b n"],
        steering: Steering | None,
        level: Int[Tensor, "n"],
        visible: Bool[Tensor, "n total"] | None,
        memory: Cache | None,
    ) -> Contexts:
        """One pass over tokens at these places; without steering, of clean tokens."""
        rotate = partial(mixed_rope.turn, table=self.rope[place][:, None])
        for index, block in enumerate(self.blocks):
            x = block(x, rotate, steering, level, visible, memory, index)
        if steering is None:
            return x
        shift, scale = spread(self.modulation(steering), level).chunk(2, dim=-1)
        return modulate(self.norm(x), shift, scale)
