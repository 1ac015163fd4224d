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
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from limner.generators.backbones.backbone import Contexts, Embedded
from limner.nn.blocks import modulate
from limner.nn.cache import KeyValueCache, resume
from limner.nn.cosine import CosineBlock, Six
from limner.nn.transformer import take
from limner.types import Layout, Steps

GATES, OTHERS = 1e-5, 0.5  # share of the usual deviation that the six vectors' weights begin with, as officially


class ScaleCache(KeyValueCache):
    """Keys and values of the scales so far, and what the condition makes of every block."""

    six: list[Tensor] | None = None


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
        self.blocks = nn.ModuleList(
            CosineBlock(width, heads, shared=shared, drop_path=drop_path * index / max(depth - 1, 1))
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
            assert isinstance(block, CosineBlock)
            for layer in (block.attn.proj, block.mlp.fc2):
                layer.weight.div_((2.0 * len(self.blocks)) ** 0.5)
            six = block.six_at_start()
            six[:2].mul_(GATES)
            six[2:].mul_(OTHERS)

    def cache(self) -> ScaleCache:
        """Room for the keys and values of the whole sequence."""
        return ScaleCache(self.prefix + self.layout.length, len(self.blocks), self.prefix)

    def forward(
        self,
        x: Embedded,
        steps: Steps,
        prefix: Float[Tensor, "b k d"],
        wanted: Int[Tensor, "b m"],
        cache: KeyValueCache | None = None,
    ) -> Contexts:
        done, end = resume(cache, self.prefix + int(wanted.min())), int(wanted.max()) + 1
        condition = prefix.mean(1)
        y = self._slots(x, prefix, condition, done, end)
        silent, visible = functional.silu(condition), self._visible(steps, done, end)
        for index, (block, six) in enumerate(zip(self.blocks, self._six(silent, cache), strict=True)):
            y = block(y, six, visible, cache, index)
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

    def _six(self, condition: Float[Tensor, "b d"], cache: KeyValueCache | None) -> list[Six]:
        """The six vectors of every block: a third of all weights makes them, so once for a whole drawing."""
        if isinstance(cache, ScaleCache) and cache.six is not None:
            return [six[: len(condition)] for six in cache.six]
        shared = None if self.shared is None else self.shared(condition)
        six = [cast(CosineBlock, block).six(condition, shared) for block in self.blocks]
        if isinstance(cache, ScaleCache):
            cache.six = six
        return six

    def _visible(self, steps: Steps, done: int, end: int) -> Bool[Tensor, "slots total"] | None:
        """Slots see those of their own and of earlier steps, and the condition tokens; None: all see all."""
        steps = functional.pad(steps[0, :end], (self.prefix, 0), value=1)
        visible = steps <= steps[done:, None]
        return None if visible.all() else visible
