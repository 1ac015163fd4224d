"""Crops of the CC0 and public-domain photographs that lie inside scikit-image's wheel; nothing is downloaded.

The right fifth of every photograph is held out. Needs ``pip install 'limner[data]'``.
"""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from limner.data.source import Example
from limner.errors import InputError

CAPTIONS = {
    "astronaut.png": "an astronaut in front of a flag",
    "brick.png": "a wall of bricks",
    "camera.png": "a photographer with a camera",
    "cell.png": "a cell under a microscope",
    "chelsea.png": "a cat",
    "coffee.png": "a cup of coffee",
    "grass.png": "grass",
    "gravel.png": "gravel",
    "hubble_deep_field.jpg": "galaxies in deep space",
    "ihc.png": "stained tissue under a microscope",
    "retina.jpg": "the retina of an eye",
    "rocket.jpg": "a rocket at its launch pad",
}
TRAIN_SHARE = 0.8  # of the width of each photograph; the rest is held out
SMALLEST = 96  # pixels on a side of the smallest crop, before it is resized


class Photos:
    """Square crops of random place and scale, mirrored by chance: a `Source` of ``length`` examples.

    Args:
        split: "train" crops the left four fifths of each photograph, "heldout" the right fifth.
        size: pixels on a side of the pictures given.
        seed: of places and scales; equal seed and index give equal crops.
        length: number of crops.
    """

    name = "photos"

    def __init__(
        self, split: Literal["train", "heldout"] = "train", *, size: int = 64, seed: int = 0, length: int = 100_000
    ) -> None:
        if split not in ("train", "heldout"):
            raise InputError(f"photos have no split {split!r}: choose train or heldout")
        self.split, self.size, self.seed, self.length = split, size, seed, length
        self.photographs = _photographs()

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Example:
        if not 0 <= index < self.length:
            raise IndexError(f"photos has {self.length} crops, so there is none at {index}")
        rng = np.random.default_rng((self.seed, self.split == "heldout", index))
        name = list(self.photographs)[index % len(self.photographs)]
        photo = self.photographs[name]
        height, width = photo.shape[:2]
        edge = round(width * TRAIN_SHARE)
        left, right = (0, edge) if self.split == "train" else (edge, width)
        largest = min(height, right - left)
        smallest = min(max(SMALLEST, self.size), largest)
        side = round(smallest * (largest / smallest) ** rng.random())
        x = left + int(rng.integers(right - left - side + 1))
        y = int(rng.integers(height - side + 1))
        crop = Image.fromarray(photo[y : y + side, x : x + side])
        image = np.asarray(crop.resize((self.size, self.size), Image.Resampling.LANCZOS, reducing_gap=2.0))
        return Example(image, CAPTIONS[name], list(CAPTIONS).index(name))


@functools.cache
def _photographs() -> dict[str, UInt8[np.ndarray, "h w 3"]]:
    found = importlib.util.find_spec("skimage")
    if found is None or found.origin is None:
        raise InputError("the photographs lie inside scikit-image, which is missing: pip install 'limner[data]'")
    folder = Path(found.origin).parent / "data"
    present = [name for name in CAPTIONS if (folder / name).is_file()]
    if not present:
        raise InputError(f"scikit-image at {folder} holds none of the photographs: reinstall it with pip")
    return {name: np.asarray(Image.open(folder / name).convert("RGB")) for name in present}
