"""Condition and tokens as one sequence, which causal backbones compute slot by slot.

    slots    condition 1 .. k, then the tokens in the order of their steps
    sight    a condition slot: those before it;  a token: the condition, and all tokens of its own and earlier steps

A prefix may have one channel more than the transformer: where the last one is 0 a slot only pads, and none but itself
attends to it.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from limner.generators.backbones.backbone import Embedded
from limner.nn import rope
from limner.nn.cache import KeyValueCache
from limner.nn.llama import Turns
from limner.nn.transformer import Sequence
from limner.types import Steps


class Slots(NamedTuple):
    """The slots of a pass: all of them, or those that the cache does not know yet."""

    states: Sequence
    turns: Turns
    visible: Bool[Tensor, "..."] | None
    """Which slots each of them attends to; None: all."""
    first: int
    """How many slots were before them."""
    rank: Int[Tensor, "n"]
    """Place of each token in the order: it is held by slot ``k + rank``."""


class SlotSequence(nn.Module):
    """Condition and known tokens; all rows share one order, and with a cache each of its steps is one pass. Places are
    rows and columns, half of a head's planes each.

    Args:
        grid: rows and columns of the tokens.
        prefix: condition slots, each seeing those before it.
        width, heads: of the transformer.
        dropout: of what the slots hold.
        muted: queries and keys of the condition are set to zero, by a table of zeros, as in the official code: it is
            then attended to evenly. Else they are left as they are, and each of its words can be looked for.
    """

    turns: Tensor

    def __init__(
        self, grid: tuple[int, int], prefix: int, width: int, heads: int, dropout: float, muted: bool = True
    ) -> None:
        super().__init__()
        self.prefix, self.width, self.dropout = prefix, width, dropout
        places = rope.grid(*grid, width // heads)
        turns = torch.cat([(not muted) * rope.nowhere(prefix, width // heads), places])
        self.register_buffer("turns", turns, persistent=False)

    def forward(self, x: Embedded, steps: Steps, prefix: Float[Tensor, "b k e"], cache: KeyValueCache | None) -> Slots:
        order = steps[0].argsort(stable=True)
        known = int((steps[0] < steps[0].max()).sum())
        first = cache.length(0) if cache is not None else 0
        held = order[max(first - self.prefix, 0) : known]
        states, turns = x[:, held], self.turns[self.prefix + held]
        if not first:
            states = torch.cat([prefix[..., : self.width], states], dim=1)
            turns = torch.cat([self.turns[: self.prefix], turns])
        visible = self._visible(steps[0][order[:known]], prefix[..., self.width :], first)
        states = functional.dropout(states, self.dropout, self.training)
        return Slots(states, turns, visible, first, order.argsort())

    def _visible(
        self, steps: Int[Tensor, "known"], padding: Float[Tensor, "b k p"], first: int
    ) -> Bool[Tensor, "..."] | None:
        read = None
        if padding.shape[-1]:
            read = functional.pad(padding[..., 0] > 0, (0, len(steps)), value=True)[:, None, None, :]
        if first:  # what is new are tokens of one step
            return read
        moments = torch.cat([torch.arange(-self.prefix, 0, device=steps.device), steps])
        before = moments <= moments[:, None]
        return (
            before if read is None else before & read | torch.eye(len(moments), dtype=torch.bool, device=steps.device)
        )
