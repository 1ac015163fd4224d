"""VAR's backbone: a position sees its own scale and all coarser ones (Tian et al., arXiv:2404.02905, Section 3.2).

    input   condition + start, then, for each further scale, the embedding of what is known;  + position + level
    mask    positions of the same and of coarser scales (`coarser`), or of the same scale alone (`own`)
    steps   all positions of a scale at once

Inputs come from coarser scales only, so positions of one scale may see each other, and one pass predicts them all. Keys
and values of coarser scales never change and are kept, as are the modulations, which the condition alone makes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias, cast, runtime_checkable

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

GATES, OTHERS = 1e-5, 0.5  # share of the usual deviation that the modulations' weights begin with, as officially
Vectors: TypeAlias = Float[Tensor, "b 1 vectors d"]


def coarser(steps: Int[Tensor, "total"], done: int) -> Bool[Tensor, "new total"] | None:
    """VAR's mask of positions from ``done`` on: they see their own and earlier steps; None: all see all."""
    mask = steps <= steps[done:, None]
    return None if mask.all() else mask


def own(steps: Int[Tensor, "total"], done: int) -> Bool[Tensor, "new new"]:
    """The mask of attention that stays within a step, and keeps nothing of earlier ones."""
    return steps[done:] == steps[done:, None]


@runtime_checkable
class ModulatedBlock(Protocol):
    """A block of so many branches, each with a gate, a scale and a shift of its condition: made by its ``modulation``,
    or, where that is None, by one layer for all blocks; ``offsets`` are added."""

    branches: int
    modulation: nn.Module | None
    offsets: nn.Parameter | None

    def modulation_of(self, vectors: Vectors) -> Any:
        """What the block reads in its context, of all gates, then scales, then shifts."""

    def get_parameter(self, target: str) -> nn.Parameter: ...


class ScaleBlock(Block):
    """A block whose condition makes gates, then scales, then shifts; where one layer does so for all blocks
    (``shared``), it adds constants of its own."""

    branches = 2

    def __init__(self, width: int, heads: int, *, shared: bool, drop_path: float) -> None:
        super().__init__(
            CosineAttention(width, heads),
            Mlp(width, 4 * width, tanh_gelu),
            lambda: nn.LayerNorm(width, eps=1e-6, elementwise_affine=False),
            drop=DropPath(drop_path),
            modulation=None if shared else nn.Linear(width, 6 * width),
        )
        self.offsets = nn.Parameter(torch.randn(1, 1, 6, width) / width**0.5) if shared else None

    @staticmethod
    def modulation_of(vectors: Vectors) -> Modulation:
        """What the block reads of its vectors."""
        gate1, gate2, scale1, scale2, shift1, shift2 = vectors.unbind(2)
        return Modulation(shift1, scale1, gate1, shift2, scale2, gate2)


class ScaleTrunk(nn.Module, ABC):
    """What backbones of scales share: blocks under modulations of the condition, and the mask; a subclass says what a
    position reads (`inputs`) and which of its parameters say where (`places`).

    Args:
        width, depth, heads: of the transformer.
        count: tokens of an image at most.
        prefix: condition tokens that every position also sees; 0 is the paper's, where the condition acts through the
            start and the modulations alone.
        shared: one layer makes the vectors of all blocks' modulations, as in the largest of the paper's models.
        drop_path: of the last block in training; it grows evenly from 0 at the first.
        block: makes a block of so many channels and heads, as `ScaleBlock`.
        visible: the mask of attention, `coarser` or `own`.
    """

    def __init__(
        self,
        *,
        width: int,
        depth: int,
        heads: int,
        count: int,
        prefix: int = 0,
        shared: bool = False,
        drop_path: float = 0.0,
        block: Callable[..., nn.Module] = ScaleBlock,
        visible: Callable[[Tensor, int], Tensor | None] = coarser,
    ) -> None:
        super().__init__()
        self.width, self.count, self.prefix, self.visible = width, count, prefix, visible
        self.blocks = Stack(
            block(width, heads, shared=shared, drop_path=drop_path * index / max(depth - 1, 1))
            for index in range(depth)
        )
        self.shared = nn.Linear(width, 3 * self._block(0).branches * width) if shared else None
        self.norm = nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)
        self.modulation = nn.Linear(width, 2 * width)

    @abstractmethod
    def places(self) -> tuple[nn.Parameter, ...]:
        """Parameters that are neither matrices nor of a block, and begin as noise."""

    @abstractmethod
    def inputs(
        self, x: Embedded, steps: Int[Tensor, "end"], condition: Float[Tensor, "b d"], start: int
    ) -> Float[Tensor, "b new d"]:
        """Inputs of positions from ``start`` on, for all those of ``steps``."""

    @torch.no_grad()
    def initialise(self) -> None:
        """Normal weights of variance ``1 / (3 width)``, less of it where branches join and where the condition acts."""
        std = (3.0 * self.width) ** -0.5
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=std)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for weight in self.places():
            nn.init.trunc_normal_(weight, std=std)
        self.modulation.weight.mul_(OTHERS)
        for block in map(self._block, range(len(self.blocks))):
            for name in ("attn.proj.weight", "mlp.fc2.weight"):
                block.get_parameter(name).div_((2.0 * len(self.blocks)) ** 0.5)
            count = block.branches
            if block.offsets is not None:
                vectors = block.offsets[0, 0]
            else:
                assert isinstance(block.modulation, nn.Linear)
                vectors = block.modulation.weight.unflatten(0, (3 * count, -1))
            vectors[:count].mul_(GATES)
            vectors[count:].mul_(OTHERS)

    def _block(self, layer: int) -> ModulatedBlock:
        return cast(ModulatedBlock, self.blocks[layer])

    def cache(self) -> KeyValueCache:
        """Room for the keys and values of the whole sequence."""
        return KeyValueCache(self.prefix + self.count, len(self.blocks), self.prefix)

    def forward(
        self,
        x: Embedded,
        steps: Steps,
        condition: Conditioning,
        targets: Int[Tensor, "b m"],
        cache: KeyValueCache | None = None,
    ) -> Contexts:
        done, end = resume(cache, self.prefix + int(targets.min())), int(targets.max()) + 1
        vector = condition.vector()
        y = self.inputs(x[:, :end], steps[0, :end], vector, max(done - self.prefix, 0))
        if not done and self.prefix:
            y = torch.cat([condition.prefix, y], dim=1)
        silent = functional.silu(vector)
        made = self._vectors(silent) if cache is None else cache.ahead(len(x), 0, 1, lambda: self._vectors(silent))
        # Condition tokens belong to the first scale.
        mask = self.visible(functional.pad(steps[0, :end], (self.prefix, 0), value=1), done)
        context = Context(mask, modulation=lambda layer: self._block(layer).modulation_of(made[layer]), cache=cache)
        y = self.blocks(y, context)
        scale, shift = self.modulation(silent)[:, None].chunk(2, dim=-1)
        return modulate(self.norm(take(y, targets + (self.prefix - done))), shift, scale)

    def _vectors(self, condition: Float[Tensor, "b d"]) -> list[Vectors]:
        """Gates, scales and shifts of every block's branches: a third of all weights makes them, so once for a whole
        drawing."""
        shared = condition if self.shared is None else self.shared(condition)
        made = []
        for block in map(self._block, range(len(self.blocks))):
            vectors = shared if block.modulation is None else block.modulation(condition)
            vectors = rearrange(vectors, "b (k d) -> b 1 k d", k=3 * block.branches)
            made.append(vectors if block.offsets is None else vectors + block.offsets)
        return made


class ScaleTransformer(ScaleTrunk):
    """For orders that predict one grid after the other, see `Scales`; rows take the same steps.

    Args:
        layout: grids from coarse to fine; every position, and every grid, has a vector of its own.
        width, depth, heads, prefix, shared, drop_path, block, visible: see `ScaleTrunk`.
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
        block: Callable[..., nn.Module] = ScaleBlock,
        visible: Callable[[Tensor, int], Tensor | None] = coarser,
    ) -> None:
        super().__init__(
            width=width,
            depth=depth,
            heads=heads,
            count=layout.length,
            prefix=prefix,
            shared=shared,
            drop_path=drop_path,
            block=block,
            visible=visible,
        )
        self.layout = layout
        levels = [level for level, length in enumerate(layout.lengths) for _ in range(length)]
        self.register_buffer("levels", torch.tensor(levels), persistent=False)
        self.start = nn.Parameter(torch.zeros(1, levels.count(0), width))
        self.position = nn.Parameter(torch.zeros(1, layout.length, width))
        self.level = nn.Parameter(torch.zeros(len(layout.grids), width))
        self.initialise()

    def places(self) -> tuple[nn.Parameter, ...]:
        """Start, positions and levels."""
        return self.start, self.position, self.level

    def inputs(
        self, x: Embedded, steps: Int[Tensor, "end"], condition: Float[Tensor, "b d"], start: int
    ) -> Float[Tensor, "b new d"]:
        """The condition in the first scale, then what the embedding has made of coarser ones."""
        end, first = x.shape[1], self.start.shape[1]
        known = x[:, max(start, first) :].to(condition.dtype)
        y = torch.cat([(condition[:, None] + self.start)[:, start:end], known], 1)
        return y + self.position[:, start:end] + self.level[self.levels[start:end]]
