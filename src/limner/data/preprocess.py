"""A picture as people have it, made ready for a model: the one place where files, images and arrays become tensors.

    preprocess("photo.jpg", 64)      [1 3 64 64] in [-1, 1]: padded with white to a square, resampled once

A tensor of that size is taken as it is.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from limner.data.images import fit, read_image, to_rgb
from limner.errors import InputError
from limner.nn.pixels import to_arrays, to_tensor

Given: TypeAlias = str | Path | Image.Image | UInt8[np.ndarray, "h w 3"] | Tensor
EDGE = 1e-3  # beyond -1 and 1: rounding


def preprocess(picture: Given, size: int, mode: str = "pad") -> Float[Tensor, "1 3 {size} {size}"]:
    """One picture as a batch of one in [-1, 1].

    Args:
        picture: a path; a Pillow image; 8-bit pixels ``[h w 3]``; or a float tensor ``[3 h w]`` or ``[1 3 h w]`` in
            [-1, 1].
        size: pixels on a side that the model sees.
        mode: ``pad`` keeps everything and fills up with white, ``crop`` keeps the central square.

    Raises `InputError` for a file that cannot be read, and for a tensor that is no picture in [-1, 1].
    """
    if isinstance(picture, Tensor):
        image = _checked(picture)
        if image.shape[-2:] == (size, size):
            return image
        pixels = to_arrays(image)[0]
    elif isinstance(picture, Image.Image):
        pixels = to_rgb(picture)
    elif isinstance(picture, np.ndarray):
        pixels = picture
    else:
        pixels = read_image(picture)
    return to_tensor([fit(pixels, size, mode)])


def _checked(picture: Tensor) -> Float[Tensor, "1 3 h w"]:
    shape = list(picture.shape)
    if shape[-3:-2] != [3] or shape[:-3] not in ([], [1]) or not picture.is_floating_point():
        raise InputError(
            f"a tensor {shape} of {picture.dtype} is no picture: give floats [3 h w] or [1 3 h w] in [-1, 1]"
        )
    low, high = float(picture.min()), float(picture.max())
    if not (low >= -1 - EDGE and high <= 1 + EDGE):
        raise InputError(f"a picture's values go from {low:g} to {high:g}, but belong in [-1, 1]: scale them first")
    return picture.reshape(1, *picture.shape[-3:]).float()
