"""Drawing things: coverage from the signed distance, one small patch per thing, over a cached background."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import permutations

import numpy as np
from jaxtyping import Bool, Float, UInt8

from limner.data.scenes.shapes import OUTLINES
from limner.data.scenes.world import COLOURS, WORLD, Rgb, Sprites, Thing
from limner.errors import InputError

RGB: dict[str, Rgb] = {
    "red": (225, 30, 40),
    "orange": (255, 138, 0),
    "yellow": (248, 208, 0),
    "green": (30, 155, 60),
    "cyan": (0, 195, 215),
    "blue": (35, 75, 215),
    "purple": (130, 45, 180),
    "pink": (255, 120, 190),
    "brown": (128, 72, 28),
    "black": (20, 20, 24),
}
PALE: dict[str, Rgb] = {
    "yellow": (255, 246, 200),
    "blue": (212, 230, 255),
    "pink": (255, 224, 232),
    "grey": (228, 228, 228),
}
PATTERNS: tuple[str, ...] = ("striped", "checked", "dotted", "speckled")
BACKGROUNDS: dict[str, tuple[str, ...]] = {
    "white": ("white",),
    "plain": tuple(PALE),
    "gradient": tuple(f"{top} to {bottom} gradient" for top, bottom in permutations(PALE, 2)),
    "texture": tuple(f"{pattern} {colour}" for pattern in PATTERNS for colour in PALE),
}
_TILE = 16.0  # world units after which a pattern repeats
_SPRITE = 0.9  # half the side of a sprite, in radii


def _pattern(pattern: str, size: int) -> Float[np.ndarray, "h w 1"]:
    """How strongly (0 .. 1) the darker tone of a texture covers each pixel."""
    at = (np.arange(size, dtype=np.float32) + 0.5) * np.float32(WORLD / size)
    y, x = at[:, None], at[None, :]
    if pattern == "speckled":
        grain = np.random.default_rng(0).random((64, 64), dtype=np.float32)
        rows = at.astype(int)
        wave = grain[rows][:, rows] - np.float32(0.5)
    elif pattern == "striped":
        wave = np.sin((x + y) * np.float32(2 * np.pi / _TILE))
    elif pattern == "checked":
        wave = np.sin(x * np.float32(2 * np.pi / _TILE)) * np.sin(y * np.float32(2 * np.pi / _TILE)) * 4
    else:
        wave = 3 - np.hypot(x % (_TILE / 2) - _TILE / 4, y % (_TILE / 2) - _TILE / 4) * np.float32(1.6)
    strength: Float[np.ndarray, "h w 1"] = np.clip(wave + 0.5, 0, 1)[..., None]
    return strength


@lru_cache(maxsize=256)
def _backdrop(name: str, size: int) -> UInt8[np.ndarray, "size size 3"]:
    """The empty picture of a named background (read-only)."""
    words = name.split()
    if name == "white":
        plane = np.full((size, size, 3), 255.0)
    elif name in PALE:
        plane = np.broadcast_to(np.array(PALE[name], float), (size, size, 3))
    elif words[-1] == "gradient" and {words[0], words[2]} <= PALE.keys():
        down = ((np.arange(size) + 0.5) / size)[:, None, None]
        plane = np.broadcast_to(
            np.array(PALE[words[0]]) * (1 - down) + np.array(PALE[words[2]]) * down, (size, size, 3)
        )
    elif words[0] in PATTERNS and words[-1] in PALE:
        light = np.array(PALE[words[-1]], float)
        plane = light * (1 - 0.16 * _pattern(words[0], size))
    else:
        known = ", ".join(entry for entries in BACKGROUNDS.values() for entry in entries)
        raise InputError(f"There is no background {name!r}; take one of: {known}.")
    image = (plane + 0.5).astype(np.uint8)
    image.flags.writeable = False
    return image


def backdrop(name: str, size: int, phase: int = 0) -> UInt8[np.ndarray, "size size 3"]:
    """A fresh empty picture; ``phase`` (0 .. 4095) shifts a texture ``phase // 64`` down, ``phase % 64`` right."""
    image = _backdrop(name, size)
    if phase:
        return np.roll(image, ((phase // 64) * size // 64, (phase % 64) * size // 64), axis=(0, 1))
    return image.copy()


def _window(centre: float, reach: float, size: int) -> tuple[int, int]:
    return max(int(centre - reach - 0.5), 0), min(int(centre + reach + 1.5), size)


@lru_cache(maxsize=32)
def _pixels(size: int) -> Float[np.ndarray, "size"]:
    return np.arange(size, dtype=np.float32) + np.float32(0.5)


def coverage(thing: Thing, size: int) -> tuple[slice, slice, Float[np.ndarray, "h w"]]:
    """Where a shape lies in a picture of ``size`` pixels, and how much of each pixel there it covers (0 .. 1)."""
    scale = size / WORLD
    x, y, radius = thing.x * scale, thing.y * scale, thing.radius * scale
    (x0, x1), (y0, y1) = _window(x, 1.05 * radius, size), _window(y, 1.05 * radius, size)
    at = _pixels(size)
    across = (at[None, x0:x1] - np.float32(x)) * np.float32(1 / radius)
    down = (at[y0:y1, None] - np.float32(y)) * np.float32(1 / radius)
    distance = OUTLINES[thing.shape](across, down) * np.float32(radius)
    return slice(y0, y1), slice(x0, x1), np.clip(np.float32(0.5) - distance, 0, 1)


def _stamp(thing: Thing, size: int, sprites: Sprites | None) -> tuple[slice, slice, Float[np.ndarray, "h w 4"]]:
    """Where a sprite lies, and its colours (0 .. 255) with its coverage (0 .. 1) as the fourth channel."""
    if sprites is None:
        raise InputError(
            f"The scene holds the sprite {thing.shape!r}, but no sprites were given; pass the set it is from."
        )
    side = max(round(2 * _SPRITE * thing.radius * size / WORLD), 1)
    left, top = (round(v * size / WORLD - side / 2) for v in (thing.x, thing.y))
    picture = sprites.rgba(thing.emoji, side).astype(np.float32)
    picture[..., 3] /= 255
    rows, columns = slice(max(top, 0), min(top + side, size)), slice(max(left, 0), min(left + side, size))
    return rows, columns, picture[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]


_INK = {name: np.array(RGB[name], np.float32) for name in COLOURS}


def render_things(
    things: Sequence[Thing],
    size: int = 64,
    background: str = "white",
    *,
    sprites: Sprites | None = None,
    phase: int = 0,
) -> UInt8[np.ndarray, "size size 3"]:
    """Draw things in paint order (the last one on top) on a named background (see ``BACKGROUNDS``).

    Raises InputError for a background that does not exist, or a sprite without its set.
    """
    image = backdrop(background, size, phase)
    for thing in things:
        if thing.emoji >= 0:
            rows, columns, stamp = _stamp(thing, size, sprites)
            ink, alpha = stamp[..., :3], stamp[..., 3:]
        else:
            rows, columns, cover = coverage(thing, size)
            ink, alpha = _INK[thing.colour], cover[..., None]
        under = image[rows, columns]
        image[rows, columns] = under + alpha * (ink - under) + np.float32(0.5)
    return image


def visible_masks(
    things: Sequence[Thing], size: int = 64, *, sprites: Sprites | None = None
) -> Bool[np.ndarray, "objects size size"]:
    """The pixels at least half covered by each thing and not by one painted later: disjoint."""
    masks = np.zeros((len(things), size, size), bool)
    for row, thing in enumerate(things):
        if thing.emoji >= 0:
            rows, columns, stamp = _stamp(thing, size, sprites)
            solid = stamp[..., 3] >= 0.5
        else:
            rows, columns, cover = coverage(thing, size)
            solid = cover >= 0.5
        masks[:row, rows, columns] &= ~solid
        masks[row, rows, columns] = solid
    return masks
