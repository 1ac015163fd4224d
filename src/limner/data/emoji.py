"""The 3,655 emoji of Noto Color Emoji as captioned pictures, shipped with limner (``scripts/build_emoji.py``)."""

from __future__ import annotations

import gzip
import hashlib
import json
from functools import cache, lru_cache
from importlib.resources import files
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image

from limner.data.source import Example
from limner.errors import InputError

STORED_SIZE = 64  # pixels
HELD_OUT_EVERY = 20
LANGUAGES = ("en", "es", "ja", "ko", "pt", "it", "fr", "de", "fa", "id", "zh", "ru", "tr", "ar")
_TONES = dict.fromkeys(range(0x1F3FB, 0x1F400))  # the five skin tone modifiers, to be deleted


class Table(NamedTuple):
    """What is known about every emoji, by global index: the ``plain`` ones without skin tone first."""

    plain: int
    sequences: list[str]
    kinds: list[tuple[str, str]]  # (group, subgroup) of emoji-test.txt
    kind: list[int]  # row of kinds
    canonical: np.ndarray  # [3655] lowest global index with the same pixels
    heldout: np.ndarray  # [3655] bool
    names: dict[str, list[str]]


@cache
def table() -> Table:
    """The names, kinds and duplicates of all emoji, read once per process."""
    raw = json.loads(gzip.decompress(files("limner.data").joinpath("assets/emoji.json.gz").read_bytes()))
    sequences = raw["sequences"]
    canonical = np.arange(len(sequences))
    for index, twin in raw["duplicates"].items():
        canonical[int(index)] = twin
    heldout = np.array([_is_held_out(sequences[twin]) for twin in canonical])
    kinds = [(group, subgroup) for group, subgroup in raw["kinds"]]
    return Table(raw["plain"], sequences, kinds, raw["kind"], canonical, heldout, raw["names"])


def _is_held_out(sequence: str) -> bool:
    """Every 20th by a hash of the sequence without its skin tones: all tones of an emoji are in one split."""
    digest = hashlib.blake2b(sequence.translate(_TONES).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") % HELD_OUT_EVERY == 0


@cache
def _sheet(part: Literal["plain", "toned"]) -> UInt8[np.ndarray, "count 64 64 4"]:
    """All pictures of one part, decoded once per process."""
    with files("limner.data").joinpath(f"assets/emoji-{part}.webp").open("rb") as file, Image.open(file) as sheet:
        pixels = np.asarray(sheet.convert("RGBA"))
    rows, columns = pixels.shape[0] // STORED_SIZE, pixels.shape[1] // STORED_SIZE
    cells = pixels.reshape(rows, STORED_SIZE, columns, STORED_SIZE, 4).transpose(0, 2, 1, 3, 4)
    plain = table().plain
    count = plain if part == "plain" else len(table().sequences) - plain
    return cells.reshape(-1, STORED_SIZE, STORED_SIZE, 4)[:count]


def _stored(label: int) -> UInt8[np.ndarray, "64 64 4"]:
    plain = table().plain
    return _sheet("plain")[label] if label < plain else _sheet("toned")[label - plain]


@lru_cache(maxsize=4096)
def _resized(label: int, size: int) -> UInt8[np.ndarray, "size size 4"]:
    """Lanczos on premultiplied colour, as Pillow resizes RGBA."""
    return np.asarray(Image.fromarray(_stored(label)).resize((size, size), Image.Resampling.LANCZOS))


class Emoji:
    """The emoji of Noto Color Emoji 2.042 with their names: ``emoji[i]`` is the picture at position ``i`` of the split.

    ``label`` is the *global index*, the same in every split: 0 .. 1869 without skin tone in the order of
    emoji-test.txt (Unicode 15.0), 1870 .. 3654 with one. All other methods take a position, ``canonical`` a label.

    Args:
        split: ``train``, ``heldout`` (about every 20th; pixel-identical emoji and all tones of one emoji are always in
            the same split) or ``all``.
        size: pixels of a side; 64 is stored, everything else is resized by Lanczos.
        skin_tones: with the 1,785 emoji that have a skin tone.
        language: of the captions, one of ``LANGUAGES``; English captions are clean lower-case ASCII words.
        background: RGB 0 .. 255 behind the picture.

    Raises InputError for an unknown split or language, or a size below 1.
    """

    def __init__(
        self,
        split: str = "train",
        *,
        size: int = STORED_SIZE,
        skin_tones: bool = False,
        language: str = "en",
        background: tuple[int, int, int] = (255, 255, 255),
    ) -> None:
        if split not in ("train", "heldout", "all"):
            raise InputError(f"the emoji have no split {split!r}: choose train, heldout or all")
        if size < 1:
            raise InputError(f"an emoji cannot have {size} pixels a side: give a size of at least 1")
        self.size, self.language, self.background = size, _checked(language), np.array(background, np.uint16)
        every = np.arange(len(table().sequences) if skin_tones else table().plain)
        chosen = {"train": ~table().heldout, "heldout": table().heldout, "all": np.ones_like(table().heldout)}[split]
        self.indices: Int[np.ndarray, " count"] = every[chosen[: len(every)]]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, i: int) -> Example:
        picture = self.rgba(i).astype(np.uint16)
        alpha = picture[..., 3:]
        image = (picture[..., :3] * alpha + self.background * (255 - alpha) + 127) // 255
        return Example(image.astype(np.uint8), self.name(i), int(self.indices[i]))

    def name(self, i: int, language: str | None = None) -> str:
        """What the emoji at position ``i`` is called, such as "grinning face" or "flag of norway"."""
        return table().names[_checked(language or self.language)][self.indices[i]]

    def rgba(self, i: int, size: int | None = None) -> UInt8[np.ndarray, "size size 4"]:
        """The picture with its opacity (not premultiplied), ``size`` pixels a side."""
        label, size = int(self.indices[i]), size or self.size
        return (_stored(label) if size == STORED_SIZE else _resized(label, size)).copy()

    def group(self, i: int) -> str:
        """One of the nine groups of emoji-test.txt, such as "Smileys & Emotion"."""
        return table().kinds[table().kind[self.indices[i]]][0]

    def subgroup(self, i: int) -> str:
        """One of the 99 subgroups of emoji-test.txt, such as "face-smiling"."""
        return table().kinds[table().kind[self.indices[i]]][1]

    def sequence(self, i: int) -> str:
        """The characters themselves, fully qualified."""
        return table().sequences[self.indices[i]]

    def canonical(self, label: int) -> int:
        """The lowest global index whose picture has the same pixels; ``label`` itself but for 14 duplicates."""
        return int(table().canonical[label])


def _checked(language: str) -> str:
    if language not in LANGUAGES:
        raise InputError(f"the emoji have no names in {language!r}: choose one of {', '.join(LANGUAGES)}")
    return language
