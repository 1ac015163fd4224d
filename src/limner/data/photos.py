"""Crops of the twelve CC0 or public-domain photographs that lie inside scikit-image's wheel."""

from __future__ import annotations

import random
from functools import cache

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from limner.data.extra import package_file
from limner.data.images import read_image
from limner.data.source import Example
from limner.errors import InputError

# What each shows; licences as stated in scikit-image's documentation of ``skimage.data``.
PHOTOS = {
    "astronaut.png": "an astronaut",
    "brick.png": "a brick wall",
    "camera.png": "a man with a camera",
    "cell.png": "a cell",
    "chelsea.png": "a cat",
    "coffee.png": "a cup of coffee",
    "grass.png": "grass",
    "gravel.png": "gravel",
    "horse.png": "a black horse",
    "hubble_deep_field.jpg": "galaxies",
    "retina.jpg": "a retina",
    "rocket.jpg": "a rocket",
}
TRAIN_SHARE = 0.65  # of the height of a photograph; the rest, at the bottom, is held out


@cache
def _region(file: str, split: str) -> Image.Image:
    pixels: UInt8[np.ndarray, "h w 3"] = read_image(package_file("skimage", f"data/{file}"))
    edge = round(pixels.shape[0] * TRAIN_SHARE)
    parts = {"train": pixels[:edge], "heldout": pixels[edge:], "all": pixels}
    return Image.fromarray(parts[split])


class Photos:
    """Square crops, half to all of the shorter side of the region they are from, scaled by Lanczos.

    The caption is "part of a photo of a cat", the label the number of the photograph. Photograph and place are a
    function of (split, seed, index).

    Args:
        split: ``train`` (the upper 65 % of each photograph), ``heldout`` (the rest) or ``all``.
        size: pixels of a side.
        seed: of everything drawn.
        length: number of examples.

    Raises InputError for another split or a size below 1, or if scikit-image is not installed.
    """

    def __init__(self, split: str = "train", *, size: int = 64, seed: int = 0, length: int = 1_000_000) -> None:
        if split not in ("train", "heldout", "all") or size < 1:
            raise InputError(
                f"there are no photos of split {split!r} at {size} pixels: use train, heldout or all, and 1 up"
            )
        self.split, self.size, self.seed, self.length = split, size, seed, length
        self.name = f"photos-{split}"
        for file in PHOTOS:
            package_file("skimage", f"data/{file}")

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Example:
        if not 0 <= index < self.length:
            raise IndexError(f"photo {index} is outside 0 .. {self.length - 1}")
        rng = random.Random(f"{self.name}/{self.seed}/{index}")
        label = int(rng.random() * len(PHOTOS))
        file, thing = list(PHOTOS.items())[label]
        region = _region(file, self.split)
        side = int(min(region.size) * (0.5 + 0.5 * rng.random()))
        left, top = (int((length - side + 1) * rng.random()) for length in region.size)
        crop = region.crop((left, top, left + side, top + side))
        picture = crop.resize((self.size, self.size), Image.Resampling.LANCZOS)
        return Example(np.array(picture), f"part of a photo of {thing}", label)
