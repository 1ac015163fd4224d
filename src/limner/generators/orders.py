"""When is each token predicted? An order answers with a number per token: its step.

Tokens of step 0 are known beforehand and bear no loss; tokens of equal step are predicted together; a token may depend
on tokens of strictly earlier steps and on nothing else. That is all a backbone needs to know of an order.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from limner.errors import InputError
from limner.types import Layout, Rng, Steps


@runtime_checkable
class Order(Protocol):
    """How a picture is split into steps, in training and in drawing."""

    def training_steps(self, batch: int, layout: Layout, rng: Rng) -> Steps:
        """Steps of a training batch of tokens that lie so; each step holds equally many tokens in every row, unless
        the generator gives known tokens a loss too (its ``known_weight``)."""

    def decoding_steps(self, batch: int, layout: Layout, steps: int | None, rng: Rng) -> Steps:
        """Steps 1 .. ``steps`` by which a batch is drawn; None leaves their number to the order."""


def fixed_steps(own: Steps, steps: int | None) -> Steps:
    """``own``, the steps of an order that leaves no choice; raises `InputError` if another number is wanted."""
    if steps not in (None, number := int(own.max())):
        raise InputError(f"this order draws {own.shape[1]} tokens in {number} steps, not {steps}: leave out --steps")
    return own


@dataclass(frozen=True)
class Raster:
    """One token after the other, left to right and top to bottom."""

    def training_steps(self, batch: int, layout: Layout, rng: Rng) -> Steps:
        return torch.arange(1, layout.length + 1, device=rng.device).expand(batch, -1)

    def decoding_steps(self, batch: int, layout: Layout, steps: int | None, rng: Rng) -> Steps:
        return fixed_steps(self.training_steps(batch, layout, rng), steps)


@dataclass(frozen=True)
class Permuted:
    """One token after the other: in training, a random permutation for a ``share`` of the pictures and raster for the
    rest; in drawing, raster (Yu et al., arXiv:2411.00776, Section 3). Training anneals the share, which is then each
    picture's own, see `annealed_share`."""

    share: float | Float[Tensor, "b"] = 1.0

    def training_steps(self, batch: int, layout: Layout, rng: Rng) -> Steps:
        permuted = rng.uniform(batch) < self.share
        raster = Raster().training_steps(batch, layout, rng)
        return torch.where(permuted[:, None], rng.permutations(batch, layout.length) + 1, raster)

    def decoding_steps(self, batch: int, layout: Layout, steps: int | None, rng: Rng) -> Steps:
        return Raster().decoding_steps(batch, layout, steps, rng)


def annealed_share(progress: float, start: float = 0.5, end: float = 0.75) -> float:
    """Share of permuted pictures after a part of the training in [0, 1]: 1 until ``start``, then linearly to 0 at
    ``end`` (arXiv:2411.00776, Eq. 5; Table 2: epochs 200 and 300 of 400)."""
    if progress < start:
        return 1.0
    return 0.0 if progress >= end else (end - progress) / (end - start)


@dataclass(frozen=True)
class Diagonals:
    """Near to far: token (i, j) of a grid in step ``i + j + 1``, all tokens of a diagonal together (He et al.,
    arXiv:2503.10696); with more axes, such as the frames of a clip, the sum runs over all of them."""

    def training_steps(self, batch: int, layout: Layout, rng: Rng) -> Steps:
        steps = torch.ones(_grid(layout), dtype=torch.long, device=rng.device)
        for axis, length in enumerate(steps.shape):
            steps = steps + torch.arange(length, device=rng.device).reshape(-1, *[1] * (steps.ndim - axis - 1))
        return steps.flatten().expand(batch, -1)

    def decoding_steps(self, batch: int, layout: Layout, steps: int | None, rng: Rng) -> Steps:
        return fixed_steps(self.training_steps(batch, layout, rng), steps)


@dataclass(frozen=True)
class Cells:
    """One block of tokens after the other: boxes of ``cell`` tokens on a grid of as many axes, in raster order of cells
    (Ren et al., xAR, arXiv:2502.20388). ``(k,)`` cuts a line into runs of k, ``(1, h, w)`` a clip into its frames. From
    one token, which is `Raster`, to the grid, which is no order, a cell is a knob (Hu et al., ACDiT,
    arXiv:2412.07720)."""

    cell: tuple[int, ...]

    def training_steps(self, batch: int, layout: Layout, rng: Rng) -> Steps:
        grid = _grid(layout)
        if len(grid) != len(self.cell) or any(length % edge for length, edge in zip(grid, self.cell, strict=True)):
            lengths, edges = (" x ".join(map(str, axes)) for axes in (grid, self.cell))
            raise InputError(
                f"a grid of {lengths} tokens cannot be cut into cells of {edges}: let the cell have as many axes, each "
                "a divisor of the grid's"
            )
        cells = [length // edge for length, edge in zip(grid, self.cell, strict=True)]
        steps = 1 + torch.arange(math.prod(cells), device=rng.device).reshape(cells)
        for axis, edge in enumerate(self.cell):
            steps = steps.repeat_interleave(edge, dim=axis)
        return steps.flatten().expand(batch, -1)

    def decoding_steps(self, batch: int, layout: Layout, steps: int | None, rng: Rng) -> Steps:
        return fixed_steps(self.training_steps(batch, layout, rng), steps)


def _grid(layout: Layout) -> tuple[int, ...]:
    """The only grid; raises `InputError` where there are several, such as a pyramid's."""
    if len(layout.grids) != 1:
        raise InputError(f"this order is for tokens of one grid, not of {len(layout.grids)}: choose Scales or Raster")
    return layout.grids[0]


@dataclass(frozen=True)
class RandomMasked:
    """A random order per picture; many tokens at once, few at first (Li et al., arXiv:2406.11838, Section 3.4).

    In training a share of the tokens, drawn from a normal of mean ``mean`` and deviation ``deviation`` cut to
    ``[least, 1]``, is masked and predicted from the rest; one draw serves the whole batch. In drawing, after step s of
    S, ``floor(count * cos(pi/2 * s/S))`` tokens are still masked (Chang et al., arXiv:2202.04200, Eq. 3), at least one
    is drawn per step, and the last step draws all that are left.
    """

    least: float = 0.7
    mean: float = 1.0
    deviation: float = 0.25

    def training_steps(self, batch: int, layout: Layout, rng: Rng) -> Steps:
        low, high = (self._cdf(edge) for edge in (self.least, 1.0))
        level = low + (high - low) * float(rng.along(None).uniform(1))
        share = self.mean + self.deviation * math.sqrt(2.0) * float(torch.erfinv(torch.tensor(2.0 * level - 1.0)))
        masked = math.ceil(layout.length * min(max(share, self.least), 1.0))
        return (rng.permutations(batch, layout.length) < masked).long()

    def _cdf(self, x: float) -> float:
        return 0.5 * (1.0 + math.erf((x - self.mean) / (self.deviation * math.sqrt(2.0))))

    def decoding_steps(self, batch: int, layout: Layout, steps: int | None, rng: Rng) -> Steps:
        count = layout.length
        return steps_of_ranks(rng.permutations(batch, count), cosine_unmasking(count, steps or count))


@dataclass(frozen=True)
class ArccosMasked:
    """A random order and a share of masked tokens per picture (Chang et al., arXiv:2202.04200, Section 3.1; the arc
    cosine is that of TiTok's official code).

    In training ``round(count * acos(u) / (pi/2))`` tokens of a row, at least one, are masked for a u uniform in [0, 1):
    rows differ, so the generator needs a ``known_weight``. In drawing, ``floor(count * acos(s/S) / (pi/2))`` are still
    masked after step s of S, at least one is drawn per step, and the last step draws all that are left; which they are,
    `limner.decode.step.most_confident` decides anew.
    """

    def training_steps(self, batch: int, layout: Layout, rng: Rng) -> Steps:
        share = (torch.acos(rng.uniform(batch)) / (math.pi * 0.5)).clamp(1e-6, 1.0)
        masked = (layout.length * share).round().clamp_min(1.0)
        return (rng.permutations(batch, layout.length) < masked[:, None]).long()

    def decoding_steps(self, batch: int, layout: Layout, steps: int | None, rng: Rng) -> Steps:
        count = layout.length
        return steps_of_ranks(rng.permutations(batch, count), arccos_unmasking(count, steps or count))


@dataclass(frozen=True)
class Scales:
    """One grid of the layout after the other, all tokens of a grid at once (VAR, arXiv:2404.02905, Section 3.1)."""

    def training_steps(self, batch: int, layout: Layout, rng: Rng) -> Steps:
        lengths = torch.tensor(layout.lengths, device=rng.device)
        steps = torch.arange(1, len(lengths) + 1, device=rng.device)
        return steps.repeat_interleave(lengths).expand(batch, -1)

    def decoding_steps(self, batch: int, layout: Layout, steps: int | None, rng: Rng) -> Steps:
        return fixed_steps(self.training_steps(batch, layout, rng), steps)


def cosine_unmasking(count: int, steps: int) -> list[int]:
    """Tokens still masked after each step, falling to 0 as a cosine does (Eq. 3 of MaskGIT)."""
    return _unmasking(count, steps, lambda step: math.cos(math.pi / 2 * step / steps))


def arccos_unmasking(count: int, steps: int) -> list[int]:
    """Tokens still masked after each step, falling to 0 as an arc cosine does."""
    return _unmasking(count, steps, lambda step: math.acos(step / steps) / (math.pi * 0.5))


def _unmasking(count: int, steps: int, share: Callable[[int], float]) -> list[int]:
    """``floor(count * share(s))`` tokens after step s, one less than before at least, and none but after the last."""
    if not 1 <= steps <= count:
        raise InputError(f"{count} tokens cannot be drawn in {steps} steps: choose 1 to {count}")
    left, masked = count, []
    for step in range(1, steps + 1):
        left = 0 if step == steps else max(1, min(left - 1, math.floor(count * share(step))))
        masked.append(left)
    return masked


def steps_of_ranks(ranks: Steps, masked_after: list[int]) -> Steps:
    """Steps of tokens that are unmasked from the last rank to the first, ``masked_after[s]`` staying after step s."""
    boundaries = torch.tensor(sorted(masked_after), device=ranks.device)
    return len(masked_after) + 1 - torch.searchsorted(boundaries, ranks, right=True)
