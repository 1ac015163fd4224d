"""A batch that is trained in parts descends the loss of the whole batch.

    whole    L = sum_i w_i l_i / C,          C = sum_i w_i      over what counts: subwords of answers, labelled images
    part p   L_p = P/C sum_{i in p} w_i l_i,                    L = mean of L_p over the P parts

A mean over equally many values per image needs nothing. A mean over anything else passes through `over_batch` with its
count; a loss that looks from one image of a batch to another has a `Coupling`, and its batch is not cut. Noise from
torch's own generator, which knows no rows, is drawn by `noise_like` for the whole batch, each part taking its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn

Fill = Callable[[Tensor, torch.Generator | None], Tensor]


class Coupling(NamedTuple):
    """Why the loss of a batch is not the mean of its parts', as "its captions are each other's negatives"; ``least``:
    images without which there is nothing to learn, or no loss at all."""

    reason: str
    least: int = 1


def coupling_of(*parts: object) -> Coupling | None:
    """The first ``coupling`` of these parts of a loss, modules with all that is inside them; None if there is none."""
    for part in parts:
        for one in part.modules() if isinstance(part, nn.Module) else [part]:
            found = getattr(one, "coupling", None)
            if isinstance(found, Coupling):
                return found
    return None


@dataclass
class CutBatch:
    """A batch on its way through the loss, part by part.

    Args:
        size: images of the batch.
        parts: equal ones.
        seed: of `noise_like`.
    """

    size: int
    parts: int
    seed: int
    counts: dict[tuple[str, int], float] = field(default_factory=dict)
    """Of every mean over unequal counts, and every time that a loss takes it, over the whole batch."""
    counted: bool = False
    _generators: dict[torch.device, torch.Generator] = field(default_factory=dict)
    _start: int = 0
    _taken: Counter[str] = field(default_factory=Counter)

    @contextmanager
    def part(self, index: int) -> Iterator[None]:
        """The loss of a part is computed inside: counted in the first round over the parts, weighed in the second."""
        self._start = index * (self.size // self.parts)
        self._generators.clear()
        self._taken.clear()
        token = _CUT.set(self)
        try:
            yield
        finally:
            _CUT.reset(token)

    def weigh(self, mean: Tensor, count: float, name: str) -> Tensor:
        """``mean`` of a part, times its share of what counts and the number of parts."""
        key = name, self._taken[name]
        self._taken[name] += 1
        if not self.counted:
            self.counts[key] = self.counts.get(key, 0.0) + count
            return mean
        return mean * (count * self.parts / self.counts[key]) if count else mean * 0.0

    def noise_like(self, x: Tensor, fill: Fill) -> Tensor:
        """See `noise_like`; noise that is not a fixed number per image is the part's own."""
        per_image, rest = divmod(len(x) * self.parts, self.size)
        if rest or not per_image:
            return fill(torch.empty_like(x), None)
        if x.device not in self._generators:
            self._generators[x.device] = torch.Generator(x.device).manual_seed(self.seed)
        whole = fill(x.new_empty(per_image * self.size, *x.shape[1:]), self._generators[x.device])
        return whole.narrow(0, per_image * self._start, len(x))


_CUT: ContextVar[CutBatch | None] = ContextVar("cut", default=None)


def over_batch(mean: Tensor, count: Tensor | float | int, name: str) -> Tensor:
    """A mean over ``count`` values (a sum of weights), as a term of the loss of the whole batch.

    Args:
        mean: over this part of the batch; finite, also where nothing counts.
        count: of this part.
        name: of the mean; a loss that takes it several times does so in every part.
    """
    cut = _CUT.get()
    return mean if cut is None else cut.weigh(mean, float(count), name)


def noise_like(x: Tensor, fill: Fill) -> Tensor:
    """``fill(tensor, generator)``, which fills a tensor with noise by the generator (None: torch's own), for a tensor
    like ``x``, whose first axis is the batch."""
    cut = _CUT.get()
    return fill(torch.empty_like(x), None) if cut is None else cut.noise_like(x, fill)
