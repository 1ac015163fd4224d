"""VAR's backbone: every slot sees its own scale and all coarser ones (Tian et al., arXiv:2404.02905, Section 3.2).

    slots   condition + start, then what the embedding tells those of each further scale;  + position + level
    seen    slots of the same and of coarser scales
    steps   all slots of a scale at once

What slots are told is of coarser scales only, so slots of one scale may see each other, and one pass draws them all.
Keys and values of coarser scales never change and are kept, as is what blocks make of the condition.
"""

from __future__ import annotations

from typing import cast

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from limner.generators.backbones.backbone import Contexts, Embedded
from limner.generators.conditions import Conditioning
from limner.nn.blocks import Block, Context, DropPath, Modulation, Stack, modulate
from limner.nn.cache import KeyValueCache, resume
from limner.nn.cosine import CosineAttention, tanh_gelu
from limner.nn.transformer import Mlp, take
from limner.types import Layout, Steps

GATES, OTHERS = 1e-5, 0.5  # share of the usual deviation that the six vectors' weights begin with, as officially


class ScaleBlock(Block):
    """A block whose condition makes gates, then scales, then shifts; where one layer does so for all blocks
    (``shared``), it adds constants of its own."""

    def __init__(self, width: int, heads: int, *, shared: bool, drop_path: float) -> None:
        super().__init__(
            CosineAttention(width, heads),
            Mlp(width, 4 * width, tanh_gelu),
            lambda: nn.LayerNorm(width, eps=1e-6, elementwise_affine=False),
            drop=DropPath(drop_path),
            modulation=None if shared else nn.Linear(width, 6 * width),
        )
        self.offsets = nn.Parameter(torch.randn(1, 1, 6, width) / width**0.5) if shared else None

    def weights_of_six(self) -> Float[Tensor, "six *d"]:
        """The weights that make the six vectors, one row or table for each."""
        if self.offsets is not None:
            return self.offsets[0, 0]
        assert isinstance(self.modulation, nn.Linear)
        return self.modulation.weight.unflatten(0, (6, -1))

    def six(self, condition: Float[Tensor, "b c"]) -> Float[Tensor, "b 1 six d"]:
        """Gates, scales and shifts, each of attention and MLP; a shared layer's output is all that they need of the
        condition."""
        made = condition if self.modulation is None else self.modulation(condition)
        six = rearrange(made, "b (six d) -> b 1 six d", six=6)
        return six if self.offsets is None else six + self.offsets


class ScaleTransformer(nn.Module):
    """For orders that predict one grid after the other, see `Scales`; rows take the same steps.

    Args:
        layout: grids from coarse to fine.
        width, depth, heads: of the transformer.
        prefix: condition tokens that every slot also sees; 0 is the paper's, where the condition, or the mean of its
            tokens, speaks through the start and the six vectors alone.
        shared: one layer makes the six vectors of all blocks, as in the largest of the paper's models.
        drop_path: of the last block in training; it grows evenly from 0 at the first.
    """

    levels: Tensor

    def __init__(
        self,
        *,
        layout: Layout,
        width: int,
        depth: int,
        heads: int,
        prefix: int = 0,
        shared: bool = False,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.width, self.layout, self.prefix = width, layout, prefix
        levels = [level for level, length in enumerate(layout.lengths) for _ in range(length)]
        self.register_buffer("levels", torch.tensor(levels), persistent=False)
        self.start = nn.Parameter(torch.zeros(1, levels.count(0), width))
        self.position = nn.Parameter(torch.zeros(1, layout.length, width))
        self.level = nn.Parameter(torch.zeros(len(layout.grids), width))
        self.blocks = Stack(
            ScaleBlock(width, heads, shared=shared, drop_path=drop_path * index / max(depth - 1, 1))
            for index in range(depth)
        )
        self.shared = nn.Linear(width, 6 * width) if shared else None
        self.norm = nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)
        self.modulation = nn.Linear(width, 2 * width)
        self.initialise()

    @torch.no_grad()
    def initialise(self) -> None:
        """Normal weights of variance ``1 / (3 width)``, less of it where branches join and where the condition acts."""
        std = (3.0 * self.width) ** -0.5
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=std)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for weight in (self.start, self.position, self.level):
            nn.init.trunc_normal_(weight, std=std)
        self.modulation.weight.mul_(OTHERS)
        for block in self.blocks:
            assert isinstance(block, ScaleBlock)
            for name in ("attn.proj.weight", "mlp.fc2.weight"):
                block.get_parameter(name).div_((2.0 * len(self.blocks)) ** 0.5)
            six = block.weights_of_six()
            six[:2].mul_(GATES)
            six[2:].mul_(OTHERS)

    def cache(self) -> KeyValueCache:
        """Room for the keys and values of the whole sequence."""
        return KeyValueCache(self.prefix + self.layout.length, len(self.blocks), self.prefix)

    def forward(
        self,
        x: Embedded,
        steps: Steps,
        condition: Conditioning,
        wanted: Int[Tensor, "b m"],
        cache: KeyValueCache | None = None,
    ) -> Contexts:
        done, end = resume(cache, self.prefix + int(wanted.min())), int(wanted.max()) + 1
        vector = condition.vector()
        y = self._slots(x, condition.prefix, vector, done, end)
        silent = functional.silu(vector)
        made = self._six(silent) if cache is None else cache.ahead(len(x), 0, 1, lambda: self._six(silent))

        def modulation(layer: int) -> Modulation:
            gate1, gate2, scale1, scale2, shift1, shift2 = made[layer].unbind(2)
            return Modulation(shift1, scale1, gate1, shift2, scale2, gate2)

        y = self.blocks(y, Context(self._mask(steps, done, end), modulation=modulation, cache=cache))
        scale, shift = self.modulation(silent)[:, None].chunk(2, dim=-1)
        return modulate(self.norm(take(y, wanted + (self.prefix - done))), shift, scale)

    def _slots(
        self, x: Embedded, prefix: Float[Tensor, "b k d"], condition: Float[Tensor, "b d"], done: int, end: int
    ) -> Float[Tensor, "b slots d"]:
        """Slots not yet computed, up to the token at ``end``, after the condition tokens that all see."""
        start, first = max(done - self.prefix, 0), self.start.shape[1]
        y = torch.cat([(condition[:, None] + self.start)[:, start:], x[:, max(start, first) : end].to(prefix.dtype)], 1)
        y = y + self.position[:, start:end] + self.level[self.levels[start:end]]
        return y if done or not self.prefix else torch.cat([prefix, y], dim=1)

    def _six(self, condition: Float[Tensor, "b d"]) -> list[Float[Tensor, "b 1 six d"]]:
        """The six vectors of every block: a third of all weights makes them, so once for a whole drawing."""
        shared = condition if self.shared is None else self.shared(condition)
        return [cast(ScaleBlock, block).six(shared) for block in self.blocks]

    def _mask(self, steps: Steps, done: int, end: int) -> Bool[Tensor, "slots total"] | None:
        """Slots see those of their own and of earlier steps, and the condition tokens; None: all see all."""
        steps = functional.pad(steps[0, :end], (self.prefix, 0), value=1)
        mask = steps <= steps[done:, None]
        return None if mask.all() else mask
