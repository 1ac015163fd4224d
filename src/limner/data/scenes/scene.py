"""The source of scenes: index -> picture, caption and everything that is known about it."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from random import Random
from typing import Literal, TypeAlias, get_args

import numpy as np
from jaxtyping import Bool

from limner.data.scenes.language import PHRASINGS, RELATIONAL, caption_of
from limner.data.scenes.questions import Question, questions_about
from limner.data.scenes.render import BACKGROUNDS, render_things, visible_masks
from limner.data.scenes.sampling import Split, draw_kinds, draw_things, pick
from limner.data.scenes.world import SEPARATION, Sprites, Thing
from limner.data.source import Example
from limner.errors import InputError

Background: TypeAlias = Literal["white", "plain", "gradient", "texture"]

# How often each phrasing is drawn, of 20: the plain ones that people type most often.
_COMMON: tuple[int, ...] = (*(0,) * 6, *(1,) * 3, *(2,) * 3, *(3,) * 2, *(4,) * 2, 5, 6, 7, 8)
_OVERLAP = 0.6  # with overlap, centres may come this near, in sums of radii: the lower thing stays recognisable


@dataclass(frozen=True)
class Scene(Example):
    """A picture with its caption and the things it shows, in paint order (a later one lies on top)."""

    things: tuple[Thing, ...] = ()
    background: str = "white"
    phase: int = 0
    phrasing: int = 0
    key: int = 0  # what the questions are drawn from
    sprites: Sprites | None = None

    @property
    def masks(self) -> Bool[np.ndarray, "objects h w"]:
        """The visible pixels of each thing; masks never overlap."""
        return visible_masks(self.things, len(self.image), sprites=self.sprites)

    @property
    def depth(self) -> tuple[int, ...]:
        """How many things were painted after each one: 0 is the nearest."""
        return tuple(reversed(range(len(self.things))))

    def questions(self) -> tuple[Question, ...]:
        """What is asked about the scene, in a random but fixed order; "yes" and "no" are equally frequent."""
        return questions_about(self.things, random_for(self.key, "questions"), self.sprites)


def random_for(*parts: int | str) -> Random:
    """A generator that depends on every part."""
    return Random(int.from_bytes(blake2b(repr(parts).encode(), digest_size=8).digest(), "little"))


def paint(
    things: tuple[Thing, ...],
    size: int = 64,
    background: str = "white",
    *,
    phrasing: int = 0,
    phase: int = 0,
    key: int = 0,
    sprites: Sprites | None = None,
) -> Scene:
    """The scene that shows the given things."""
    image = render_things(things, size, background, sprites=sprites, phase=phase)
    caption = caption_of(things, phrasing, background)
    return Scene(image, caption, -1, things, background, phase, phrasing, key, sprites)


class Scenes:
    """A source of random scenes, deterministic by ``(seed, split, index)``.

    "train" and "heldout" are drawn independently and never show a held-out composition; every scene of "compositions"
    shows exactly one (see ``HELD_OUT_PAIRS`` and ``HELD_OUT_SHAPES``). ``objects`` is the least and the greatest number
    of things. ``grid``: things lie in the cells of a 3x3 grid, else anywhere. ``overlap``: things may hide parts of
    others. ``sprite_share`` is the probability that a thing is a sprite. ``phrasing`` is "all" or one of ``PHRASINGS``.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        split: Split = "train",
        size: int = 64,
        objects: tuple[int, int] = (1, 2),
        background: Background = "white",
        grid: bool = True,
        overlap: bool = False,
        sprites: Sprites | None = None,
        sprite_share: float = 0.0,
        phrasing: Literal["all"] | int = "all",
        length: int = 1_000_000,
    ) -> None:
        _check(split, objects, background, phrasing, sprites, sprite_share)
        self.seed, self.split, self.size, self.length = seed, split, size, length
        self.objects, self.background, self.grid, self.overlap = objects, background, grid, overlap
        self.sprites, self.sprite_share, self.phrasing = sprites, sprite_share, phrasing
        self.separation = _OVERLAP if overlap else SEPARATION
        self.name = f"scenes-{split}"

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Scene:
        """Scene number ``index``. Raises IndexError outside ``0 .. len - 1``."""
        if not 0 <= index < self.length:
            raise IndexError(f"Scene {index} is outside 0 to {self.length - 1}.")
        rng = random_for(self.seed, self.split, index)
        least, most = self.objects
        count = least + int(rng.random() * (most - least + 1))
        phrasing = pick(rng, _COMMON) if self.phrasing == "all" else self.phrasing
        kinds = draw_kinds(rng, count, self.split, self.sprites, self.sprite_share)
        related = phrasing in RELATIONAL
        things = draw_things(rng, kinds, grid=self.grid, separation=self.separation, related=related)
        background = pick(rng, BACKGROUNDS[self.background])
        phase = int(rng.random() * 4096) if self.background == "texture" else 0
        key = rng.getrandbits(32)
        return paint(things, self.size, background, phrasing=phrasing, phase=phase, key=key, sprites=self.sprites)


def _check(
    split: str,
    objects: tuple[int, int],
    background: str,
    phrasing: int | str,
    sprites: Sprites | None,
    sprite_share: float,
) -> None:
    if split not in get_args(Split):
        raise InputError(f"There is no split {split!r} of the scenes; take one of {', '.join(get_args(Split))}.")
    if background not in BACKGROUNDS:
        raise InputError(f"There is no kind of background {background!r}; take one of {', '.join(BACKGROUNDS)}.")
    if not 1 <= objects[0] <= objects[1] <= 4:
        raise InputError(f"A scene cannot hold {objects} things; give the least and the most number, from 1 to 4.")
    if phrasing != "all" and phrasing not in range(len(PHRASINGS)):
        raise InputError(f"There is no phrasing {phrasing!r}; take 'all' or 0 to {len(PHRASINGS) - 1}.")
    if not 0 <= sprite_share <= 1 or (sprite_share and sprites is None):
        raise InputError(
            f"The share {sprite_share} of sprites is unusable; give 0 to 1, and the sprites if it is above 0."
        )
