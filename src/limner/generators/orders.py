"""When is each token predicted? An order answers with a number per token: its step.

Step 0 is given beforehand and bears no loss; tokens of equal step are predicted together; a token may depend on tokens
of strictly earlier steps and on nothing else. That is all a backbone needs to know of an order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch

from limner.errors import InputError
from limner.types import Rng, Steps


@runtime_checkable
class Order(Protocol):
    """How a picture is split into steps, in training and in drawing."""

    def draw(self, batch: int, count: int, rng: Rng) -> Steps:
        """Steps of a training batch of ``count`` tokens; each step holds equally many tokens in every row."""

    def plan(self, batch: int, count: int, passes: int | None, rng: Rng) -> Steps:
        """Steps 1 .. passes by which a batch is drawn; None leaves the number of passes to the order."""


@dataclass(frozen=True)
class Raster:
    """One token after the other, left to right and top to bottom."""

    def draw(self, batch: int, count: int, rng: Rng) -> Steps:
        return torch.arange(1, count + 1, device=rng.device).expand(batch, count)

    def plan(self, batch: int, count: int, passes: int | None, rng: Rng) -> Steps:
        if passes not in (None, count):
            raise InputError(f"a raster order draws {count} tokens in {count} steps, not {passes}: leave out --steps")
        return self.draw(batch, count, rng)


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

    def draw(self, batch: int, count: int, rng: Rng) -> Steps:
        low, high = (self._cdf(edge) for edge in (self.least, 1.0))
        level = low + (high - low) * float(rng.uniform(1))
        share = self.mean + self.deviation * math.sqrt(2.0) * float(torch.erfinv(torch.tensor(2.0 * level - 1.0)))
        masked = math.ceil(count * min(max(share, self.least), 1.0))
        return (rng.permutations(batch, count) < masked).long()

    def _cdf(self, x: float) -> float:
        return 0.5 * (1.0 + math.erf((x - self.mean) / (self.deviation * math.sqrt(2.0))))

    def plan(self, batch: int, count: int, passes: int | None, rng: Rng) -> Steps:
        passes = passes or count
        if not 1 <= passes <= count:
            raise InputError(f"{count} tokens cannot be drawn in {passes} steps: choose 1 to {count}")
        return steps_of_ranks(rng.permutations(batch, count), cosine_unmasking(count, passes))


def cosine_unmasking(count: int, passes: int) -> list[int]:
    """Tokens still masked after each pass, falling to 0."""
    left, masked = count, []
    for step in range(1, passes + 1):
        wanted = math.floor(count * math.cos(math.pi / 2 * step / passes))
        left = 0 if step == passes else max(1, min(left - 1, wanted))
        masked.append(left)
    return masked


def steps_of_ranks(ranks: Steps, masked_after: list[int]) -> Steps:
    """Steps of tokens that are unmasked from the last rank to the first, ``masked_after[s]`` staying after pass s."""
    boundaries = torch.tensor(sorted(masked_after), device=ranks.device)
    return len(masked_after) + 1 - torch.searchsorted(boundaries, ranks, right=True)
