"""Short videos: things that move, grow, shrink or jump, with a caption that says what each one does."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random
from typing import get_args

import numpy as np
from jaxtyping import Bool, UInt8

from limner.data.scenes.language import article, name, phrase
from limner.data.scenes.render import BACKGROUNDS, render_things, visible_masks
from limner.data.scenes.sampling import EDGE, Kind, Split, draw_kinds, fits, pick, put, radius_of
from limner.data.scenes.scene import Background, random_for
from limner.data.scenes.world import RADII, SIZES, WORLD, Thing
from limner.errors import InputError

# Each action: what one thing does, what several do.
ACTIONS: dict[str, tuple[str, str]] = {
    "still": ("stays still", "stay still"),
    "left": ("moves left", "move left"),
    "right": ("moves right", "move right"),
    "up": ("moves up", "move up"),
    "down": ("moves down", "move down"),
    "grow": ("grows", "grow"),
    "shrink": ("shrinks", "shrink"),
    "jump": ("jumps", "jump"),
}
_DIRECTIONS: dict[str, tuple[int, int]] = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
_TRAVEL = (14.0, 26.0)  # how far a moving thing comes: from about a small diameter to a large one, still room for two
_JUMP = (10.0, 16.0)  # how high a thing jumps


@dataclass(frozen=True)
class Clip:
    """A video: ``frames`` ``[t, h, w, 3]`` uint8, what each thing does (``ACTIONS``), the things in every frame."""

    frames: UInt8[np.ndarray, "t h w 3"]
    caption: str
    actions: tuple[str, ...]
    states: tuple[tuple[Thing, ...], ...]
    background: str

    @property
    def masks(self) -> Bool[np.ndarray, "t objects h w"]:
        """The pixels of each thing in each frame."""
        return np.stack([visible_masks(things, self.frames.shape[1]) for things in self.states])


def size_word(radius: float) -> str:
    """The size whose range of radii is nearest."""
    return min(SIZES, key=lambda size: abs(radius - sum(RADII[size]) / 2))


def _path(rng: Random, kind: Kind, action: str, frames: int) -> list[Thing] | None:
    """One thing in every frame, or nothing where it would leave the picture."""
    start, end = {"grow": ("small", "large"), "shrink": ("large", "small")}.get(action, (pick(rng, SIZES), ""))
    first = put(rng, kind, start)
    radius = radius_of(rng, end) if end else first.radius
    travel = _TRAVEL[0] + (_TRAVEL[1] - _TRAVEL[0]) * rng.random()
    height = _JUMP[0] + (_JUMP[1] - _JUMP[0]) * rng.random() if action == "jump" else 0.0
    dx, dy = _DIRECTIONS.get(action, (0, 0))
    path = []
    for frame in range(frames):
        t = frame / (frames - 1)
        size = first.radius + (radius - first.radius) * t
        x, y = first.x + dx * travel * t, first.y + dy * travel * t - height * 4 * t * (1 - t)
        margin = size + EDGE
        if not (margin <= x <= WORLD - margin and margin <= y <= WORLD - margin):
            return None
        path.append(replace(first, x=x, y=y, radius=size, size=size_word(size)))
    return path


def _draw(rng: Random, kinds: list[Kind], actions: list[str], frames: int) -> tuple[tuple[Thing, ...], ...]:
    """The things of every frame; paths never meet."""
    while True:
        states: list[list[Thing]] = [[] for _ in range(frames)]
        for kind, action in zip(kinds, actions, strict=True):
            path = _path(rng, kind, action, frames)
            if path is None or not all(fits(thing, others) for thing, others in zip(path, states, strict=True)):
                break
            for thing, others in zip(path, states, strict=True):
                others.append(thing)
        else:
            return tuple(tuple(things) for things in states)


def describe(things: tuple[Thing, ...], actions: tuple[str, ...]) -> str:
    """``a red heart moves right while a blue star stays still``."""
    clauses = []
    for thing, action in zip(things, actions, strict=True):
        clauses.append(f"{phrase(thing)} {ACTIONS[action][0 if article(name(thing)) else 1]}")
    return " while ".join(clauses)


class Clips:
    """A map from an index to a ``Clip``, deterministic by ``(seed, split, index)``; splits as for ``Scenes``."""

    def __init__(
        self,
        seed: int = 0,
        *,
        split: Split = "train",
        size: int = 64,
        frames: int = 16,
        objects: tuple[int, int] = (1, 2),
        background: Background = "white",
        length: int = 1_000_000,
    ) -> None:
        if split not in get_args(Split) or background not in BACKGROUNDS:
            raise InputError(f"There are no clips of split {split!r} on {background!r}; see Scenes for both names.")
        if frames < 2 or not 1 <= objects[0] <= objects[1] <= 2:
            raise InputError(
                f"A clip of {frames} frames with {objects} things cannot be; give 2 frames, 1 or 2 things."
            )
        self.seed, self.split, self.size, self.frames = seed, split, size, frames
        self.objects, self.background, self.length = objects, background, length
        self.name = f"clips-{split}"

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Clip:
        """Clip number ``index``. Raises IndexError outside ``0 .. len - 1``."""
        if not 0 <= index < self.length:
            raise IndexError(f"Clip {index} is outside 0 to {self.length - 1}.")
        rng = random_for(self.seed, "clip", self.split, index)
        least, most = self.objects
        kinds = draw_kinds(rng, least + int(rng.random() * (most - least + 1)), self.split)
        actions = [pick(rng, tuple(ACTIONS)) for _ in kinds]
        states = _draw(rng, kinds, actions, self.frames)
        background = pick(rng, BACKGROUNDS[self.background])
        frames = np.stack([render_things(things, self.size, background) for things in states])
        return Clip(frames, describe(states[0], tuple(actions)), tuple(actions), states, background)
