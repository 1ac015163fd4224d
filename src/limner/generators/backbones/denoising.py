"""What backbones share whose whole trunk denoises: the contexts of a block wait for the noised block.

    read     the clean past: i sees what is read of steps up to its own
    noised   what is wanted: i sees what is read of earlier steps, and of the noised tokens
                 those of its own step       (clean context: ACDiT's skip-causal mask, arXiv:2412.07720)
                 those up to its own step    (noisy context: xAR, arXiv:2502.20388)

In training all blocks are wanted at once: with a clean context the past is read beside them, with a noisy one the past
is the other noised blocks. In drawing one block is wanted; what it follows is read once, and its keys and values stay
while the block is denoised again and again. No clean token ever sees noise, so the past is a pass of its own, and what
no wanted block follows (the last one) is not read at all.

The condition steers by the mean of its tokens; a trunk with a ``prefix`` also reads them, as tokens of step 0 whose
places come after all others.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from limner.generators.backbones.backbone import Contexts, Embedded
from limner.nn.cache import Cache, GrowingCache, KeyValueCache, resume
from limner.nn.transformer import take
from limner.types import Steps

Steering = Float[Tensor, "b levels d"]


@runtime_checkable
class Trunk(Protocol):
    """A transformer under a condition that says how noisy its input is; ``prefix``: tokens of it that are read."""

    noisy: bool
    prefix: int

    def steer(self, t: Int[Tensor, "b levels"], given: Float[Tensor, "b d"]) -> Steering:
        """The condition of noised tokens at these timesteps."""

    def steer_read(self, given: Float[Tensor, "b d"]) -> Steering | None:
        """The condition of what is read, if it has one."""

    def run(
        self,
        x: Embedded,
        place: Int[Tensor, "b n"],
        steering: Steering | None,
        level: Int[Tensor, "n"],
        visible: Bool[Tensor, "n total"] | None,
        memory: Cache | None,
    ) -> Contexts:
        """A pass over tokens at these places, token i steered by ``steering[:, level[i]]``."""


class NoisedBlocks:
    """The `Denoiser` of a trunk: tokens in order of steps, all that does not depend on noise computed beforehand."""

    def __init__(self, trunk: Trunk, steps: Steps, given: Tensor, wanted: Int[Tensor, "b m"]) -> None:
        stage = take(steps, wanted)
        order = stage.argsort(dim=1, stable=True)
        self.trunk, self.given = trunk, given
        self.order, self.back, self.place = order, order.argsort(dim=1), take(wanted, order)
        self.steps = take(stage, order)[0]  # alike in all rows, as are all masks
        self.run_level = torch.unique_consecutive(self.steps, return_inverse=True)[1]
        self.levels = int(self.run_level[-1]) + 1
        self.level = self.run_level[self.back]
        self.visible: Tensor | None = None
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
            steering, level = self.trunk.steer_read(self.given), torch.zeros_like(read[done:])
            visible = masked(read[done:, None] >= read)
            self.trunk.run(take(x, place[:, done:]), place[:, done:], steering, level, visible, memory)
        own = self.steps[:, None] >= self.steps if self.trunk.noisy else self.steps[:, None] == self.steps
        self.visible = masked(torch.cat([self.steps[:, None] > read, own], dim=1))
        self.read, self.memory = len(read), memory if len(read) else None

    def __call__(self, noised: Embedded, t: Int[Tensor, "b levels"]) -> Contexts:
        rows, one = len(noised), self.levels == 1  # one block is in order already
        steering = self.trunk.steer(t, self.given[:rows])
        x = noised if one else take(noised, self.order[:rows])
        y = self.trunk.run(x, self.place[:rows], steering, self.run_level, self.visible, self.memory)
        if self.memory is not None:
            self.memory.keep(self.read)  # what is under noise is seen by its own pass alone
        return y if one else take(y, self.back[:rows])


def await_noise(
    trunk: Trunk,
    x: Embedded,
    steps: Steps,
    prefix: Float[Tensor, "b k d"],
    wanted: Int[Tensor, "b m"],
    cache: KeyValueCache | None,
) -> NoisedBlocks:
    """The forward pass of a backbone that is a trunk."""
    blocks = NoisedBlocks(trunk, steps, prefix.mean(1), wanted)
    if trunk.prefix:
        x, steps = torch.cat([x, prefix], dim=1), functional.pad(steps, (0, trunk.prefix), value=0)
    blocks.follow(x, steps, GrowingCache() if cache is None else cache)
    return blocks


def masked(visible: Bool[Tensor, "n total"]) -> Bool[Tensor, "n total"] | None:
    """A mask, or None if it hides nothing."""
    return None if bool(visible.all()) else visible
