"""Condition and tokens as one sequence, which causal backbones compute position by position.

    inputs   condition 1 .. k, then the tokens in the order of their steps
    visible  to the condition: what is before it; to a token: the condition, and all tokens of its own and earlier steps

A position of the condition that only pads is attended to by none but itself.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from limner.generators.backbones.backbone import Embedded
from limner.generators.conditions import Conditioning
from limner.nn import rope
from limner.nn.blocks import Context
from limner.types import Steps


class PrefixedSequence(nn.Module):
    """Condition and known tokens; all rows share one order, and with a cache each of its steps is one pass. Places are
    rows and columns, half of a head's planes each.

    Args:
        grid: rows and columns of the tokens.
        prefix: condition positions, each seeing those before it.
        width, heads: of the transformer.
        dropout: of the inputs.
        muted: queries and keys of the condition are set to zero, by a table of zeros, as in the official code: it is
            then attended to evenly. Else they are left as they are, and each of its words can be looked for.
    """

    table: Tensor

    def __init__(
        self, grid: tuple[int, int], prefix: int, width: int, heads: int, dropout: float, muted: bool = True
    ) -> None:
        super().__init__()
        self.prefix, self.width, self.dropout = prefix, width, dropout
        table = torch.cat([(not muted) * rope.nowhere(prefix, width // heads), rope.grid(*grid, width // heads)])
        self.register_buffer("table", table, persistent=False)

    def forward(
        self, x: Embedded, steps: Steps, condition: Conditioning, order: Int[Tensor, "n"], first: int
    ) -> tuple[Float[Tensor, "b positions d"], Context]:
        """States of all positions from ``first`` on, and the context in which a pass computes them. ``order``: the
        tokens in the order of their steps."""
        known = int((steps[0] < steps[0].max()).sum())
        held = order[max(first - self.prefix, 0) : known]
        states, table = x[:, held], self.table[self.prefix + held]
        if first < self.prefix:
            states = torch.cat([condition.prefix[:, first:], states], dim=1)
            table = torch.cat([self.table[first : self.prefix], table])
        mask = self._mask(steps[0][order[:known]], condition.prefix_mask, first)
        context = Context(mask, rope.Rotary(table))
        if condition.per_token is not None:  # of the token that each position predicts
            per_token = condition.per_token[:, order[max(first - self.prefix + 1, 0) : known + 1]]
            context = context._replace(
                per_token=functional.pad(per_token, (0, 0, states.shape[1] - per_token.shape[1], 0))
            )
        return functional.dropout(states, self.dropout, self.training), context

    def _mask(
        self, steps: Int[Tensor, "known"], prefix_mask: Bool[Tensor, "b k"] | None, first: int
    ) -> Bool[Tensor, "..."] | None:
        moments = torch.cat([torch.arange(-self.prefix, 0, device=steps.device), steps])
        mask = None
        if len(moments) - first > 1:  # the last position sees all
            mask = moments <= moments[first:, None]
            mask = None if mask.all() else mask
        if prefix_mask is not None:
            read = functional.pad(prefix_mask, (0, len(steps)), value=True)[:, None, None, :]
            itself = torch.eye(len(moments), dtype=torch.bool, device=steps.device)[first:]
            mask = read if mask is None else mask & read | itself
        return mask


def initialise(module: nn.Module) -> None:
    """Normal weights of deviation 0.02 for every matrix, as LlamaGen starts."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.normal_(part.weight, std=0.02)
