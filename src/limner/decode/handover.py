"""Two generators for one picture: the first draws the first steps, the second reads them in one pass and goes on.

steps 1 .. n       by the decoder's own generator, with its cache
steps n + 1 .. S   by another of the same tokens; its first pass computes keys and values of all that is known
"""

from __future__ import annotations

from dataclasses import dataclass

from limner.decode.step import Predictor, Progress, by_order
from limner.errors import InputError
from limner.generators.generator import Generator
from limner.types import Rng


@dataclass(frozen=True)
class Handover:
    """A step.

    Args:
        second: who goes on.
        after: steps of the first.
    """

    second: Generator
    after: int

    def __post_init__(self) -> None:
        if self.after < 0:
            raise InputError(f"a model cannot draw {self.after} steps: choose 0 or more")

    def __call__(self, now: Progress, predictor: Predictor, rng: Rng) -> Progress:
        if now.done < self.after:
            return by_order(now, predictor, rng)
        second = now.memory
        if second is None:
            cached = predictor.cache is not None
            second = Predictor.of(self.second, predictor.options, predictor.given, cached=cached)
        return by_order(now, second, rng)._replace(memory=second)
