"""The user's own pictures, wherever they lie: a folder or tar shards; and which of them are held out.

    own = open_own("my-pictures", size=64)
    training, kept = held_out(own)

``limner data check``, training and evaluation all open data here, so that what one of them finds sound the others read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from limner.data.folder import Folder
from limner.data.images import MAX_PIXELS, Size
from limner.data.shards import Shards
from limner.data.source import Source
from limner.data.stream import Subset

EVERY, MOST, LEAST = 20, 96, 5  # one picture of so many is held out, so many at most, none of fewer than so many


class Own(Source, Protocol):
    """A data set of pictures in files."""

    @property
    def captions(self) -> Sequence[str]:
        """Of every picture; empty where it has none."""

    def names(self) -> list[str]:
        """What every picture is called."""

    def fingerprint(self) -> str:
        """Changes with the files."""


def open_own(path: str | Path, size: Size | None = None, *, max_pixels: int = MAX_PIXELS) -> Own:
    """A folder of pictures or tar shards (a folder, a path, a glob or braces); ``size`` None leaves pictures as they
    are, else the central part of that shape is taken.

    Raises InputError for what `Folder` and `Shards` refuse.
    """
    opened = Shards if names_shards(path) else Folder
    return opened(path, size, max_pixels=max_pixels)


def names_shards(path: str | Path) -> bool:
    """A tar file, a pattern, or a folder with a tar file in it."""
    place = Path(path)
    return any(place.glob("*.tar")) if place.is_dir() else place.is_file() or any(sign in str(path) for sign in "*?{[")


def held_out(own: Own) -> tuple[Subset, Subset]:
    """What to learn from, and one picture of twenty (96 at most) that is held out of it.

    Chosen by a hash of the name, so that a picture stays where it is when others are added. Of fewer than five pictures
    none is held out.
    """
    ranks = [hashlib.blake2b(name.encode("utf-8", "surrogateescape")).digest() for name in own.names()]
    count = min(max(len(ranks) // EVERY, 1), MOST) if len(ranks) >= LEAST else 0
    kept = set(sorted(range(len(ranks)), key=ranks.__getitem__)[:count])
    return Subset(own, [i for i in range(len(ranks)) if i not in kept]), Subset(own, sorted(kept))
