"""Drawing scenes at random: what the things are (with the held-out compositions in or out) and where they lie."""

from __future__ import annotations

from random import Random
from typing import Literal, TypeAlias, TypeVar

from limner.data.scenes.world import (
    COLOURS,
    HELD_OUT_NAMES,
    HELD_OUT_PAIRS,
    HELD_OUT_SHAPES,
    JITTER,
    RADII,
    SEPARATION,
    SHAPES,
    SIZES,
    WORLD,
    Sprites,
    Thing,
    relation,
)

Split: TypeAlias = Literal["train", "heldout", "compositions"]
Kind: TypeAlias = tuple[str, str, int]  # colour, shape, sprite (-1: none)
T = TypeVar("T")

_SEEN: tuple[tuple[str, str], ...] = tuple((c, s) for c in COLOURS for s in SHAPES if (c, s) not in HELD_OUT_PAIRS)
_UNSEEN: tuple[tuple[str, str], ...] = tuple(sorted(HELD_OUT_PAIRS))
_UNSEEN_SHAPES: tuple[tuple[str, ...], ...] = tuple(sorted(tuple(sorted(pair)) for pair in HELD_OUT_SHAPES))
EDGE = 1.0  # things keep this far from the edge of the picture
_SPRITE_REACH = 1.2  # sprites may be square: 0.9 sqrt(2) radii from the centre to the corner, against 1.05 for shapes


def pick(rng: Random, options: tuple[T, ...]) -> T:
    """One of the options, uniformly (``Random.choice``, three times faster)."""
    return options[int(rng.random() * len(options))]


def _familiar(rng: Random, sprites: Sprites | None, sprite_share: float) -> Kind:
    """A thing whose colour and shape are seen together in training, or a sprite not named like a held-out pair."""
    if sprites is not None and rng.random() < sprite_share:
        index = int(rng.random() * len(sprites))
        if sprites.name(index) not in HELD_OUT_NAMES:
            return "", sprites.name(index), index
    return *pick(rng, _SEEN), -1


def _unfamiliar(rng: Random, count: int) -> list[Kind]:
    """One thing of a held-out (colour, shape) pair, or two things of a held-out pair of shapes."""
    if count == 1 or rng.random() < 0.5:
        return [(*pick(rng, _UNSEEN), -1)]
    kinds: list[Kind] = []
    for shape in pick(rng, _UNSEEN_SHAPES):
        colours = tuple(colour for colour in COLOURS if (colour, shape) not in HELD_OUT_PAIRS)
        kinds.append((pick(rng, colours), shape, -1))
    return kinds


def draw_kinds(
    rng: Random, count: int, split: Split, sprites: Sprites | None = None, sprite_share: float = 0.0
) -> list[Kind]:
    """``count`` different things. Training and held-out scenes hold no held-out composition; every scene of the split
    "compositions" holds exactly one: a (colour, shape) pair or a pair of shapes."""
    while True:
        kinds = _unfamiliar(rng, count) if split == "compositions" else []
        novel_shapes = 1 if len(kinds) == 2 else 0
        kinds += [_familiar(rng, sprites, sprite_share) for _ in range(count - len(kinds))]
        if count == 1:
            return kinds
        names = [kind[1] for kind in kinds]
        together = sum(frozenset((a, b)) in HELD_OUT_SHAPES for i, a in enumerate(names) for b in names[:i])
        if together == novel_shapes and len({f"{colour} {shape}".strip() for colour, shape, _ in kinds}) == count:
            rng.shuffle(kinds)
            return kinds


def fits(thing: Thing, others: list[Thing], separation: float = SEPARATION) -> bool:
    """Is the thing far enough from all others?"""
    reach = thing.radius * (_SPRITE_REACH if thing.emoji >= 0 else 1.0)
    for other in others:
        apart = separation * (reach + other.radius * (_SPRITE_REACH if other.emoji >= 0 else 1.0))
        if (thing.x - other.x) ** 2 + (thing.y - other.y) ** 2 < apart * apart:
            return False
    return True


def radius_of(rng: Random, size: str) -> float:
    """A radius that the word for the size stands for."""
    low, high = RADII[size]
    return low + (high - low) * rng.random()


def put(rng: Random, kind: Kind, size: str, cell: int = -1, radius: float | None = None) -> Thing:
    """A thing of a size at a random place: in a grid cell, or anywhere (-1). It lies wholly inside the picture, so the
    larger it is the nearer to the middle it lies within its cell."""
    radius = radius_of(rng, size) if radius is None else radius
    margin = radius + EDGE
    if cell < 0:
        x, y = (margin + (WORLD - 2 * margin) * rng.random() for _ in range(2))
    else:
        third = WORLD / 3
        x, y = (
            min(max((at + 0.5) * third, margin + JITTER), WORLD - margin - JITTER) + JITTER * (2 * rng.random() - 1)
            for at in (cell % 3, cell // 3)
        )
    colour, shape, emoji = kind
    return Thing(shape, colour, size, x, y, radius, cell, emoji)


def draw_things(
    rng: Random, kinds: list[Kind], *, grid: bool, separation: float = SEPARATION, related: bool = False
) -> tuple[Thing, ...]:
    """Sizes and places for the kinds, in paint order; sizes shrink while they do not fit. ``related``: two
    things lie so that one of the four relations clearly holds."""
    for attempt in range(1_000_000):
        things: list[Thing] = []
        sizes = SIZES[: 3 - min(attempt // 12, 2)]
        for kind in kinds:
            thing = put(rng, kind, pick(rng, sizes), int(rng.random() * 9) if grid else -1)
            if not fits(thing, things, separation):
                break
            things.append(thing)
        else:
            if not (related and len(things) == 2) or relation(things[0], things[1]):
                return tuple(things)
    raise AssertionError("four small things always fit")
