"""What backbones share whose whole trunk denoises: the contexts of a block wait for the noised block.

    read     the clean past: i sees what is read of steps up to its own
    noised   what is wanted: i sees what is read of earlier steps, and of the noised tokens
                 those of its own step       (clean context: ACDiT's skip-causal mask, arXiv:2412.07720)
                 those up to its own step    (noisy context: xAR, arXiv:2502.20388)

In training all blocks are wanted at once: with a clean context the past is read beside them, with a noisy one the past
is the other noised blocks. In drawing one block is wanted; what it follows is read once, and its keys and values stay
while the block is denoised again and again. No clean token ever sees noise, so the past is a pass of its own, and what
no wanted block follows (the last one) is not read at all.

The mean of the condition's tokens is added to what tells the noise level; a trunk with a ``prefix`` also reads them, as
tokens of step 0 whose places come after all others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, cast, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from limner.generators.backbones.backbone import Contexts, Embedded
from limner.generators.conditions import Conditioning
from limner.nn.blocks import Block, Modulation, Stack
from limner.nn.cache import Cache, GrowingCache, KeyValueCache, resume
from limner.nn.transformer import take
from limner.types import Steps

Conditions = Float[Tensor, "b levels d"]  # of noise levels: tokens of one level share the condition and what it makes


def spread(made: Float[Tensor, "b levels d"], level: Int[Tensor, "n"]) -> Float[Tensor, "b #n d"]:
    """What is made of each level, token by token; one level serves all."""
    return made if made.shape[1] == 1 else made[:, level]


def modulation_by_level(
    stack: Stack, conditions: Conditions | None, level: Int[Tensor, "n"]
) -> Callable[[int], Modulation] | None:
    """The blocks' own modulations, made once per level; token i is of level ``level[i]``. None without conditions."""
    if conditions is None:
        return None

    def modulation(layer: int) -> Modulation:
        block = cast(Block, stack[layer - stack.first])
        assert block.modulation is not None, "blocks that denoise are modulated"
        return Modulation.of(spread(block.modulation(conditions), level))

    return modulation


@runtime_checkable
class Trunk(Protocol):
    """A transformer under a condition that says how noisy its input is; ``prefix``: tokens of it that are read."""

    noisy: bool
    prefix: int

    def conditions(self, t: Int[Tensor, "b levels"], pooled: Float[Tensor, "b d"]) -> Conditions:
        """Of noised tokens at these timesteps."""

    def conditions_clean(self, pooled: Float[Tensor, "b d"]) -> Conditions | None:
        """Of clean tokens, if they have one."""

    def run(
        self,
        x: Embedded,
        place: Int[Tensor, "b n"],
        conditions: Conditions | None,
        level: Int[Tensor, "n"],
        mask: Bool[Tensor, "n total"] | None,
        cache: Cache | None,
    ) -> Contexts:
        """A pass over tokens at these places, token i under ``conditions[:, level[i]]``."""


class NoisedBlocks:
    """The `Denoiser` of a trunk: tokens in order of steps, all that does not depend on noise computed beforehand."""

    def __init__(self, trunk: Trunk, steps: Steps, pooled: Float[Tensor, "b d"], targets: Int[Tensor, "b m"]) -> None:
        stage = take(steps, targets)
        order = stage.argsort(dim=1, stable=True)
        self.trunk, self.pooled = trunk, pooled
        self.order, self.back, self.place = order, order.argsort(dim=1), take(targets, order)
        self.steps = take(stage, order)[0]  # alike in all rows, as are all masks
        self.run_level = torch.unique_consecutive(self.steps, return_inverse=True)[1]
        self.levels = int(self.run_level[-1]) + 1
        self.level = self.run_level[self.back]
        self.mask: Tensor | None = None
        self.memory: Cache | None = None
        self.read = 0  # positions of the past in the memory

    def follow(self, x: Embedded, steps: Steps, memory: Cache) -> None:
        """Read of ``x``, the clean tokens, those that the blocks follow and ``memory`` does not hold yet."""
        past = steps < self.steps[-1]
        if self.trunk.noisy:
            past = past.scatter(1, self.place, False)
        place = torch.where(past, steps, steps.max() + 1).argsort(dim=1, stable=True)[:, : int(past[0].sum())]
        read, done = steps[0, place[0]], resume(memory, place.shape[1])
        if len(read) > done:
            conditions, level = self.trunk.conditions_clean(self.pooled), torch.zeros_like(read[done:])
            mask = masked(read[done:, None] >= read)
            self.trunk.run(take(x, place[:, done:]), place[:, done:], conditions, level, mask, memory)
        own = self.steps[:, None] >= self.steps if self.trunk.noisy else self.steps[:, None] == self.steps
        self.mask = masked(torch.cat([self.steps[:, None] > read, own], dim=1))
        self.read, self.memory = len(read), memory if len(read) else None

    def __call__(self, noised: Embedded, t: Int[Tensor, "b levels"]) -> Contexts:
        rows, one = len(noised), self.levels == 1  # one block is in order already
        conditions = self.trunk.conditions(t, self.pooled[:rows])
        x = noised if one else take(noised, self.order[:rows])
        y = self.trunk.run(x, self.place[:rows], conditions, self.run_level, self.mask, self.memory)
        if self.memory is not None:
            self.memory.keep(self.read)  # what is under noise is seen by its own pass alone
        return y if one else take(y, self.back[:rows])


def await_noise(
    trunk: Trunk,
    x: Embedded,
    steps: Steps,
    condition: Conditioning,
    targets: Int[Tensor, "b m"],
    cache: KeyValueCache | None,
) -> NoisedBlocks:
    """The forward pass of a backbone that is a trunk."""
    blocks = NoisedBlocks(trunk, steps, condition.vector(), targets)
    if trunk.prefix:
        x, steps = torch.cat([x, condition.prefix], dim=1), functional.pad(steps, (0, trunk.prefix), value=0)
    blocks.follow(x, steps, GrowingCache() if cache is None else cache)
    return blocks


def masked(mask: Bool[Tensor, "n total"]) -> Bool[Tensor, "n total"] | None:
    """A mask, or None if it hides nothing."""
    return None if bool(mask.all()) else mask
