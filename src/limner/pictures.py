"""Pictures of pictures: captioned pages, strips of steps, animations, maps of tokens. Needs numpy and Pillow only."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from limner.errors import InputError, printable

Picture: TypeAlias = Image.Image | np.ndarray  # an RGB picture, or an array [h, w, 3] of uint8
Rgb: TypeAlias = tuple[int, int, int]

MARGIN = 12
INK: Rgb = (45, 45, 50)
EDGE: Rgb = (222, 222, 226)
PAPER: Rgb = (255, 255, 255)
TEXT = 13
MAX_LINES = 3


def grid(
    images: Sequence[Picture],
    columns: int,
    captions: Sequence[str] | None = None,
    *,
    cell: int = 128,
    title: str | None = None,
) -> Image.Image:
    """A white page with ``columns`` pictures per row, each fitted into a square of ``cell`` pixels (smaller ones are
    enlarged smoothly) above its caption, which is wrapped to at most three lines.

    Raises InputError if there is no picture, or if pictures and captions differ in number.
    """
    if not images or columns < 1:
        raise InputError(
            f"a page of {len(images)} pictures in {columns} columns cannot be made: both must be at least 1"
        )
    if captions is not None and len(captions) != len(images):
        raise InputError(f"{len(images)} pictures cannot bear {len(captions)} captions: give one for each")
    font = ImageFont.load_default(TEXT)
    texts = [_wrap(caption, font, cell) for caption in captions or [""] * len(images)]
    columns = min(columns, len(images))
    rows = [range(start, min(start + columns, len(images))) for start in range(0, len(images), columns)]
    under = [max(_height(texts[i], font) for i in row) for row in rows]
    top = MARGIN + (_height([title], font) + MARGIN // 2 if title else 0)
    width = MARGIN + columns * (cell + MARGIN)
    page = Image.new("RGB", (width, top + sum(cell + lines + MARGIN for lines in under)), PAPER)
    draw = ImageDraw.Draw(page)
    if title:
        draw.text((MARGIN, MARGIN), title, fill=INK, font=font)
    for row, lines in zip(rows, under, strict=True):
        for column, i in enumerate(row):
            left = MARGIN + column * (cell + MARGIN)
            _place(page, images[i], left, top, cell)
            _write(draw, texts[i], left + cell / 2, top + cell, font)
        top += cell + lines + MARGIN
    return page


def strip(rows: Sequence[Sequence[Picture]], headings: Sequence[str], *, cell: int = 96) -> Image.Image:
    """A table of pictures: one row per drawing, one column per step, with a heading under each column.

    Raises InputError if a row is not as long as ``headings``.
    """
    if any(len(row) != len(headings) for row in rows):
        raise InputError(f"a strip with {len(headings)} headings needs {len(headings)} pictures in every row")
    captions = [""] * (len(headings) * (len(rows) - 1)) + list(headings)
    return grid([image for row in rows for image in row], len(headings), captions, cell=cell)


def gif(frames: Sequence[Picture], path: Path, *, seconds: float = 4.0, hold: float = 1.5) -> None:
    """Writes an endless animation: all frames in ``seconds``, the last one held for ``hold`` seconds more.

    Frames have one size. Raises InputError if there is none.
    """
    if not frames:
        raise InputError("an animation needs at least one frame")
    pages = [_image(frame) for frame in frames]
    each = max(20, round(1000 * seconds / len(pages)))  # viewers slow down frames shorter than 20 ms
    durations = [each] * (len(pages) - 1) + [each + round(1000 * hold)]
    save(pages[0], path, save_all=True, append_images=pages[1:], duration=durations, loop=0, disposal=1)


def check_place(path: Path) -> None:
    """Makes the directory of ``path`` and raises what `save` would raise, before the work that is to be saved there."""
    if Image.registered_extensions().get(path.suffix.lower()) not in Image.SAVE:
        raise InputError(f"{str(path)!r} does not end like a picture: end it with .png, .jpg, .webp or .gif")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{str(path)!r} cannot be written ({error.strerror}): choose another place") from None
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise InputError(f"{str(path)!r} cannot be written: choose another place")


def free_name(path: Path) -> Path:
    """``path``, or where something is there ``name-2``, ``name-3`` ...: nothing is written over."""
    number, free = 1, path
    while free.exists():
        number += 1
        free = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return free


def save(image: Image.Image, path: Path, **options: Any) -> None:
    """Writes a picture in the format that the ending of ``path`` names, making its directory first.

    Raises InputError for an ending that names no format, or a place that cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, **options)
    except ValueError:
        raise InputError(f"{str(path)!r} does not end like a picture: end it with .png, .jpg, .webp or .gif") from None
    except OSError as error:
        raise InputError(f"{str(path)!r} cannot be written ({error.strerror or error}): choose another place") from None


def token_map(tokens: np.ndarray, *, size: int = 128) -> Image.Image:
    """Tokens as a mosaic of ``size`` pixels. Ids ``[h, w]``: equal ids have equal colours. Latents ``[h, w, c]``: the
    three directions in which they vary most are red, green and blue.

    Raises InputError for arrays of other shapes.
    """
    if tokens.ndim == 2:
        colours = _colours_of_ids(tokens.astype(np.int64))
    elif tokens.ndim == 3:
        colours = _principal_colours(tokens.astype(np.float64))
    else:
        raise InputError(f"a token map needs ids [h, w] or latents [h, w, c], but the tokens have shape {tokens.shape}")
    return Image.fromarray(colours).resize(_fit(tokens.shape[1], tokens.shape[0], size), Image.Resampling.NEAREST)


def few(count: int, most: int) -> list[int]:
    """At most ``most`` of the numbers ``0 .. count - 1``, evenly spaced, first and last among them."""
    if count <= most:
        return list(range(count))
    return [round(i * (count - 1) / max(most - 1, 1)) for i in range(most)]


def _colours_of_ids(ids: np.ndarray) -> np.ndarray:
    """Multiples of the golden ratio spread hues evenly whatever the ids; lightness takes a second, coprime turn."""
    hue = (ids * 0.61803398875) % 1.0
    light = 0.55 + 0.35 * ((ids * 0.7548776662) % 1.0)
    wheel = (hue[..., None] + np.array([0.0, 2 / 3, 1 / 3])) % 1.0
    wave = 0.5 + 0.5 * np.cos(2 * math.pi * wheel)
    return np.round(255 * (light[..., None] * (0.25 + 0.75 * wave))).astype(np.uint8)


def _principal_colours(latents: np.ndarray) -> np.ndarray:
    """The first three principal components, two standard deviations either side of the mean, as RGB."""
    flat = latents.reshape(-1, latents.shape[2])
    flat = flat - flat.mean(axis=0)
    left, scale, _ = np.linalg.svd(flat, full_matrices=False)
    parts = np.zeros((len(flat), 3))
    kept = min(3, len(scale))
    parts[:, :kept] = (left * scale)[:, :kept]
    spread = np.maximum(parts.std(axis=0), 1e-6)
    pixels = np.clip(0.5 + parts / (4 * spread), 0, 1)
    return np.round(255 * pixels).astype(np.uint8).reshape(*latents.shape[:2], 3)


def _image(picture: Picture) -> Image.Image:
    return (Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture).convert("RGB")


def _fit(width: int, height: int, cell: int) -> tuple[int, int]:
    scale = cell / max(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _place(page: Image.Image, picture: Picture, left: int, top: int, cell: int) -> None:
    image = _image(picture)
    size = _fit(*image.size, cell)
    image = image if image.size == size else image.resize(size, Image.Resampling.LANCZOS)
    corner = (left + (cell - size[0]) // 2, top + (cell - size[1]) // 2)
    box = (corner[0] - 1, corner[1] - 1, corner[0] + size[0], corner[1] + size[1])
    ImageDraw.Draw(page).rectangle(box, outline=EDGE)
    page.paste(image, corner)


def _height(lines: Sequence[str], font: Any) -> int:
    return sum(_line_height(font) for line in lines if line) + (4 if any(lines) else 0)


def _line_height(font: Any) -> int:
    ascent, descent = font.getmetrics()
    return int(ascent + descent + 1)


def _write(draw: ImageDraw.ImageDraw, lines: Sequence[str], centre: float, top: int, font: Any) -> None:
    for number, line in enumerate(lines):
        draw.text((centre, top + 4 + number * _line_height(font)), line, fill=INK, font=font, anchor="ma")


def _wrap(text: str, font: Any, width: int) -> list[str]:
    """Breaks between words; what does not fit into three lines ends in an ellipsis."""
    lines = [""]
    for word in printable(text).split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    if len(lines) > MAX_LINES:
        lines = [*lines[: MAX_LINES - 1], f"{lines[MAX_LINES - 1]} …"]
    return [_shorten(line, font, width) for line in lines]


def _shorten(line: str, font: Any, width: int) -> str:
    if font.getlength(line) <= width:
        return line
    while line and font.getlength(line + "…") > width:
        line = line[:-1]
    return line.rstrip(" …") + "…"
