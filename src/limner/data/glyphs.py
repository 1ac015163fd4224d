"""Rendered words: pictures whose caption is exactly known and needs letters to be drawn."""

from __future__ import annotations

import hashlib
import random
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from limner.data.emoji import Emoji
from limner.data.extra import package_file
from limner.data.source import Example
from limner.errors import InputError

FONTS = tuple(
    f"DejaVu{face}.ttf"
    for face in (
        "Sans",
        "Sans-Bold",
        "Sans-Oblique",
        "SansMono",
        "SansMono-Bold",
        "Serif",
        "Serif-Bold",
        "Serif-Italic",
    )
)
MAX_LETTERS = 8  # at 64 pixels more would be under 7 pixels wide
HELD_OUT_EVERY = 10


@cache
def words(split: str) -> tuple[str, ...]:
    """Words of the English emoji names with 2 to 8 letters, sorted; ``heldout``: about every 10th by a hash."""
    emoji = Emoji("all")
    every = {word for i in range(len(emoji)) for word in emoji.name(i).split() if word.isalpha()}
    chosen = [word for word in sorted(every) if 2 <= len(word) <= MAX_LETTERS]
    return tuple(word for word in chosen if split == "all" or _is_held_out(word) == (split == "heldout"))


def _is_held_out(word: str) -> bool:
    return hashlib.blake2b(word.encode(), digest_size=8).digest()[0] % HELD_OUT_EVERY == 0


class Glyphs:
    """Black words on white in eight faces of DejaVu (out of matplotlib's wheel), at varying size and place.

    The caption is ``the word "cat"``, the label the number of the word in ``words("all")``. Word, face, size and place
    are a function of (split, seed, index).

    Args:
        split: ``train``, ``heldout`` (words that training never shows) or ``all``.
        size: pixels of a side.
        seed: of everything drawn.
        length: number of examples.

    Raises InputError for another split or a size below 16, or if matplotlib is not installed.
    """

    def __init__(self, split: str = "train", *, size: int = 64, seed: int = 0, length: int = 1_000_000) -> None:
        if split not in ("train", "heldout", "all") or size < 16:
            raise InputError(
                f"there are no glyphs of split {split!r} at {size} pixels: use train, heldout or all, and 16 up"
            )
        self.words, self.size, self.seed, self.length = words(split), size, seed, length
        self.name = f"glyphs-{split}"
        self._labels = {word: label for label, word in enumerate(words("all"))}
        self._fonts = [str(package_file("matplotlib", f"mpl-data/fonts/ttf/{font}")) for font in FONTS]

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Example:
        if not 0 <= index < self.length:
            raise IndexError(f"glyph {index} is outside 0 .. {self.length - 1}")
        rng = random.Random(f"{self.name}/{self.seed}/{index}")
        word = self.words[int(rng.random() * len(self.words))]
        face = self._fonts[int(rng.random() * len(self._fonts))]
        font = _font(face, _points(face, word, self.size, 0.75 + 0.25 * rng.random()))
        left, top, right, bottom = font.getbbox(word)
        room = self.size - (right - left), self.size - (bottom - top)
        x, y = (1 + int((side - 1) * rng.random()) for side in room)  # a pixel from the edge at least
        picture = Image.new("L", (self.size, self.size), 255)
        ImageDraw.Draw(picture).text((x - left, y - top), word, fill=0, font=font)
        return Example(np.array(picture.convert("RGB")), f'the word "{word}"', self._labels[word])


def _points(face: str, word: str, size: int, share: float) -> int:
    """Font size at which the word takes ``share`` of what fits: 0.88 of the width, half of the height."""
    left, top, right, bottom = _font(face, 100).getbbox(word)
    return max(6, int(100 * share * min(0.88 * size / (right - left), 0.5 * size / (bottom - top))))


@cache
def _font(face: str, points: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(face, points, layout_engine=ImageFont.Layout.BASIC)
