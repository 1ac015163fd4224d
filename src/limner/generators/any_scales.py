"""FlexVAR's order: any of the grids 1x1 .. SxS, drawn from coarse to fine (Jiao et al., arXiv:2502.20313, Section 3.3).

    layout   1x1, 2x2, .. SxS; training takes other ones of them in every batch, a drawing as many as it is asked for
    steps    1 .. k for the grids taken, 0 for all tokens of the others, which no one reads and no one predicts

A target is the image itself at its grid and no residual, so any grid may be left out: what is asked of a finer one
stays the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from limner.errors import InputError
from limner.tokenizers.free_scales import all_sides
from limner.types import Layout, Rng, Steps

USUAL = {9: (1, 2, 3, 4, 5, 7, 10, 13, 16), 10: (1, 2, 3, 4, 5, 6, 8, 10, 13, 16)}  # of 16, as the authors draw
MORE = {13: (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16)}
STANDARD = 0.05  # share of batches with the usual grids
BUDGET = 680 / 16**2  # tokens of a batch's grids at most, in those of the finest
REMOVALS = (0.9, 0.95, 0.98, 0.99)


def sides_of(side: int, steps: int) -> tuple[int, ...]:
    """Grids of a drawing in so many steps: the authors' where they say, else 1 to ``side``, growing as evenly in ratio
    as whole numbers can. Raises `InputError` if there are not that many grids."""
    if not 1 <= steps <= side:
        raise InputError(f"{steps} steps cannot be drawn on the grids 1x1 .. {side}x{side}: choose 1 to {side}")
    if side == 16 and steps in (published := USUAL | MORE):
        return published[steps]
    if steps == 1:
        return (side,)
    taken: list[int] = []
    for step in range(steps):
        taken.append(max(step + 1, round(side ** (step / (steps - 1))), (taken or [0])[-1] + 1))
    return (*taken[:-1], side)


def drawn_sides(side: int, chances: Float[Tensor, "n"]) -> tuple[int, ...]:
    """Grids of a training batch, by uniform numbers, ``side`` of them and six more: 1, 2, five eighths of those to
    5/8 ``side``, two fifths of those beyond, and ``side``; of the inner ones up to four are left out, and of the last
    four as many as make `BUDGET` (the authors' numbers of 16)."""
    ranks, more = chances[:side], chances[side:].tolist()
    if more[0] < STANDARD:
        return sides_of(side, usual_steps(side))
    edge = side * 5 // 8
    groups = [range(3, edge + 1), range(max(edge + 1, 3), side)]
    taken = {1, min(2, side), side}
    for group, share in zip(groups, (5 / 8, 2 / 5), strict=True):
        wanted = round(share * len(group))
        taken |= set(sorted(group, key=lambda edge: float(ranks[edge - 1]))[:wanted])
    sides = sorted(taken)
    for bound in REMOVALS:
        if more[1] > bound and len(sides) > 3:
            sides.remove(min(sides[2:-1], key=lambda edge: float(ranks[edge - 1])))
    spare = sorted(sides[-4:], key=lambda edge: float(ranks[edge - 1]))
    while sum(edge**2 for edge in sides) > BUDGET * side**2:
        sides.remove(spare.pop())
    return tuple(sides)


def usual_steps(side: int) -> int:
    """In how many steps an image is drawn unless one says: 10 of 16 grids, as VAR, and as large a share of others."""
    return max(1, round(side * 10 / 16)) if side > 4 else side


@dataclass(frozen=True)
class AnyScales:
    """Square grids of all sides up to one; ``fixed``: the sides that training takes, None for other ones in every
    batch."""

    fixed: tuple[int, ...] | None

    def steps_of(self, batch: int, layout: Layout, sides: Sequence[int], device: torch.device) -> Steps:
        """Steps of all tokens if these grids are taken."""
        number = {edge: step for step, edge in enumerate(sides, 1)}
        steps = torch.tensor([number.get(edge, 0) for edge, _ in layout.grids], device=device)
        return steps.repeat_interleave(torch.tensor(layout.lengths, device=device)).expand(batch, -1)

    def training_steps(self, batch: int, layout: Layout, rng: Rng) -> Steps:
        side = finest(layout)
        sides = self.fixed or drawn_sides(side, rng.along(None).uniform(side + 6).cpu())
        return self.steps_of(batch, layout, sides, rng.device)

    def decoding_steps(self, batch: int, layout: Layout, steps: int | None, rng: Rng) -> Steps:
        side = finest(layout)
        sides = sides_of(side, usual_steps(side) if steps is None else steps)
        return self.steps_of(batch, layout, sides, rng.device)


def finest(layout: Layout) -> int:
    """The side of the last of these grids; raises `InputError` unless they are 1x1, 2x2 and so on."""
    side = len(layout.grids)
    if layout != all_sides(side):
        listed = ", ".join("x".join(map(str, grid)) for grid in layout.grids)
        raise InputError(f"tokens lie as {listed}, but this order takes any of the grids 1x1, 2x2 and so on")
    return side
