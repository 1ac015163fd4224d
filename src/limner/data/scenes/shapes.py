"""Shapes as signed distances: negative inside, zero on the outline, positive outside.

Every function takes pixel offsets from the centre divided by the radius (x to the right, y DOWN) and answers in radii.
Distances are exact on straight and round edges and a lower bound beyond corners, which is all that anti-aliasing needs.
Every shape fits in a disc of 1.05 radii, so things whose centres are ``1.05 (r1 + r2)`` apart never overlap.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from jaxtyping import Float

X: TypeAlias = Float[np.ndarray, "1 w"]
Y: TypeAlias = Float[np.ndarray, "h 1"]
Plane: TypeAlias = Float[np.ndarray, "h w"]


def _sides(x: X, y: Y, count: int, inradius: float, turn: float = 0.0) -> Float[np.ndarray, "sides h w"]:
    """Signed distances to the side lines of a regular polygon; the first normal points down, turned by ``turn``."""
    angles = (np.arange(count) + turn) * (2 * np.pi / count)
    normals = np.stack([np.sin(angles), np.cos(angles)]).astype(np.float32)
    return normals[0, :, None, None] * x + normals[1, :, None, None] * y - np.float32(inradius)


def _box(x: X, y: Y, width: float, height: float) -> Plane:
    return np.maximum(np.abs(x) - np.float32(width), np.abs(y) - np.float32(height))


def _disc(x: X, y: Y, radius: float) -> Plane:
    return np.sqrt(x * x + y * y) - np.float32(radius)


def circle(x: X, y: Y) -> Plane:
    """A disc."""
    return _disc(x, y, 0.92)


def square(x: X, y: Y) -> Plane:
    """Upright."""
    return _box(x, y, 0.74, 0.74)


def triangle(x: X, y: Y) -> Plane:
    """Point up; lowered a little, towards a centred bounding box."""
    return _sides(x, y - np.float32(0.1), 3, 0.5).max(axis=0)


def diamond(x: X, y: Y) -> Plane:
    """A rhombus clearly narrower than high, so that it is not a square stood on its corner."""
    return (np.abs(x) * np.float32(1.04) + np.abs(y) * np.float32(0.66) - np.float32(0.69)) / np.float32(1.232)


def star(x: X, y: Y) -> Plane:
    """A pentagram (all that lies outside at most one of five side lines) with its points cut by a disc."""
    second = np.partition(_sides(x, y - np.float32(0.04), 5, 0.36, 0.5), 3, axis=0)[3]
    return np.maximum(second, _disc(x, y, 1.03))


def heart(x: X, y: Y) -> Plane:
    """Two discs on the upper sides of a square that stands on its corner, parted by a notch."""
    half, slope = np.float32(0.54), np.float32(np.sqrt(0.5))
    x, y = np.abs(x), y - np.float32(0.08)
    lobe = _disc(x - half * slope, y + half * slope, 0.54)
    notch = (-y - np.float32(1.5) * x - np.float32(0.48)) * np.float32(0.555)
    return np.maximum(np.minimum((x + np.abs(y)) * slope - half, lobe), notch)


def ring(x: X, y: Y) -> Plane:
    """A disc with a round hole."""
    return np.abs(_disc(x, y, 0.72)) - np.float32(0.23)


def cross(x: X, y: Y) -> Plane:
    """A plus sign."""
    return np.minimum(_box(x, y, 0.96, 0.27), _box(x, y, 0.27, 0.96))


def crescent(x: X, y: Y) -> Plane:
    """A disc without the disc to its right."""
    return np.maximum(_disc(x, y, 0.96), -_disc(x - np.float32(0.5), y, 0.76))


def arrow(x: X, y: Y) -> Plane:
    """Points to the right."""
    head = np.maximum((x + np.abs(y) - np.float32(0.98)) * np.float32(np.sqrt(0.5)), np.float32(-0.12) - x)
    head = np.maximum(head, np.abs(y) - np.float32(0.86))
    return np.minimum(head, _box(x + np.float32(0.5), y, 0.46, 0.25))


def semicircle(x: X, y: Y) -> Plane:
    """The upper half of a disc."""
    y = y - np.float32(0.45)
    return np.maximum(_disc(x, y, 0.95), y)


def hourglass(x: X, y: Y) -> Plane:
    """Two triangles that meet at their points."""
    x, y = np.abs(x), np.abs(y)
    return np.maximum((x - y - np.float32(0.08)) * np.float32(np.sqrt(0.5)), np.maximum(x, y) - np.float32(0.74))


OUTLINES: dict[str, Callable[[X, Y], Plane]] = {
    "circle": circle,
    "square": square,
    "triangle": triangle,
    "diamond": diamond,
    "star": star,
    "heart": heart,
    "ring": ring,
    "cross": cross,
    "crescent": crescent,
    "arrow": arrow,
    "semicircle": semicircle,
    "hourglass": hourglass,
}
