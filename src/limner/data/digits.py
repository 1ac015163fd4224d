"""The 1,797 handwritten digits inside scikit-learn's wheel (test set of UCI's "optical recognition")."""

from __future__ import annotations

from functools import cache

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from limner.data.extra import package_file
from limner.data.source import Example
from limner.errors import InputError

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
HELD_OUT_EVERY = 7  # has no factor in common with the ten digits, which follow each other in the file


@cache
def _table() -> UInt8[np.ndarray, "1797 65"]:
    """Rows of 64 grey values 0 .. 16 and the digit."""
    return np.loadtxt(package_file("sklearn", "datasets/data/digits.csv.gz"), delimiter=",").astype(np.uint8)


class Digits:
    """8 x 8 digits, dark on white, enlarged by Lanczos; caption "the digit seven", label 7.

    Args:
        split: ``train``, ``heldout`` (every 7th) or ``all``.
        size: pixels of a side.

    Raises InputError for another split or a size below 1, or if scikit-learn is not installed.
    """

    def __init__(self, split: str = "train", *, size: int = 64) -> None:
        if split not in ("train", "heldout", "all") or size < 1:
            raise InputError(
                f"there are no digits of split {split!r} at {size} pixels: use train, heldout or all, and 1 up"
            )
        every = np.arange(len(_table()))
        heldout = every % HELD_OUT_EVERY == 0
        self.indices = every[{"train": ~heldout, "heldout": heldout, "all": heldout | True}[split]]
        self.size, self.name = size, f"digits-{split}"

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Example:
        row = _table()[self.indices[index]]
        grey = 255 - np.round(row[:64].reshape(8, 8) * (255 / 16)).astype(np.uint8)
        picture = Image.fromarray(grey).resize((self.size, self.size), Image.Resampling.LANCZOS)
        return Example(np.array(picture.convert("RGB")), f"the digit {NAMES[row[64]]}", int(row[64]))
