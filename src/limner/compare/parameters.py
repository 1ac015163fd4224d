"""Equal parameters: how many a recipe has, and which width and depth give it as many as another."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from limner.compare.entrants import Entrant
from limner.train.settings import Settings

NEAR = 0.05  # counts that differ by less are called equal
HEAD = 64  # width of a head of attention, of which a width is a multiple
WIDEST = 4096
DEPTHS = ("depth", "encoder_depth", "decoder_depth")  # stacks of blocks as recipes name them

Count = Callable[[Settings], int]


def count_parameters(entrant: Entrant) -> int:
    """Parameters of its model; a tokenizer that it only uses is none of them."""
    return sum(parameter.numel() for parameter in entrant.recipe.build(entrant.knobs).parameters())


def off(count: int, target: int) -> float:
    """By what share a count misses another: 0.05 is 5 % too many."""
    return count / target - 1.0


def matched(entrant: Entrant, target: int) -> Entrant:
    """The entrant with the width and depth that bring its parameters within 5 % of ``target``, and its shape nearest to
    what it was; where none does, with those that come nearest. Without a knob ``width`` it stays as it is."""

    @cache
    def count(knobs: Settings) -> int:
        return count_parameters(replace(entrant, knobs=knobs))

    knobs: Any = entrant.knobs
    if abs(off(count(knobs), target)) <= NEAR or not hasattr(knobs, "width"):
        return entrant
    own = [name for name in DEPTHS if hasattr(knobs, name)]
    stacks = [name for name in own if count(replace(knobs, **{name: getattr(knobs, name) + 1})) != count(knobs)]

    def change(shape: Any) -> float:
        depths = [sum(getattr(one, name) for name in stacks) or 1 for one in (shape, knobs)]
        return abs(math.log(shape.width / knobs.width)) + abs(math.log(depths[0] / depths[1]))

    shapes = list(_shapes(knobs, stacks, count, target))
    near = [shape for shape in shapes if abs(off(count(shape), target)) <= NEAR]
    best = min(near, key=change) if near else min(shapes, key=lambda shape: abs(off(count(shape), target)))
    return replace(entrant, knobs=best)


def _shapes(knobs: Any, stacks: Sequence[str], count: Count, target: int) -> Iterator[Any]:
    """Every width up to that at which a single block is too much; each with one block per stack and then ever more, in
    proportion to what the stacks were, until there are too many."""
    for width in range(HEAD, WIDEST, HEAD):
        shape = replace(knobs, width=width, **dict.fromkeys(stacks, 1))
        yield shape
        if off(count(shape), target) > NEAR:
            return
        while stacks and off(count(shape), target) <= NEAR:
            name = min(stacks, key=lambda stack: getattr(shape, stack) / getattr(knobs, stack))
            shape = replace(shape, **{name: getattr(shape, name) + 1})
            yield shape
