"""A picture as people have it, made ready for a model: the one place that says what a picture is.

    preprocess("photo.jpg", 64)             [1 3 64 64] in [-1, 1]: padded with white to a square, resampled once
    gather([photo, array, tensor], 64)      [3 3 64 64], one or many

    a path, or a Pillow image       as `limner.data.images.read_image` reads it
    integers                        0 .. 255; [h w], [h w c] or [c h w], c = 1 (grey), 3 (RGB) or 4 (with opacity)
    booleans                        black and white, of the same shapes
    floats of an array              0 .. 1, of the same shapes
    floats of a tensor              -1 .. 1, as tokenizers decode; [h w], [c h w] or [h w c], c = 1 or 3

An array whose first and last axis could both be channels has them last, a tensor first. One more axis in front holds
several pictures. Everything else is refused by a sentence that says what was given.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor, nn

from limner.data.images import Size, extent, fit, pillow_pixels, read_image
from limner.errors import InputError
from limner.nn.pixels import to_arrays, to_tensor

Given: TypeAlias = str | Path | Image.Image | np.ndarray | Tensor
Pictures: TypeAlias = Given | Sequence[Given]
EDGE = 1e-3  # beyond -1 and 1: rounding
MODES = {1: "L", 3: "RGB", 4: "RGBA"}  # by channels
KNOWN = "give a path, a Pillow image, an array [h w 3], or a tensor [3 h w] in [-1, 1]"


def preprocess(picture: Given, size: Size, mode: str = "pad") -> Float[Tensor, "1 3 height width"]:
    """One picture as a batch of one in [-1, 1]; a tensor of that size is taken as it is.

    Args:
        picture: see above.
        size: pixels on a side that the model sees, or height and width.
        mode: ``pad`` keeps everything and fills up with white, ``crop`` keeps the central part of that shape.

    Raises `InputError` for a file that cannot be read, for what is no picture, and for several.
    """
    made = gather(picture, size, mode)
    if len(made) != 1:
        raise InputError(f"{_described(picture)} is no picture but {len(made)} of them: give them one by one")
    return made


def gather(pictures: Pictures, size: Size, mode: str = "crop") -> Float[Tensor, "b 3 height width"]:
    """One picture or several as a batch in [-1, 1] of one size; arguments and errors as those of `preprocess`."""
    if isinstance(pictures, Tensor) and pictures.is_floating_point():
        batch = _signed(pictures)
        if 0 <= batch.min() < batch.max() <= 1:  # what training encodes in batches is not doubted, see `prepared`
            warnings.warn(
                "this tensor's values lie in [0, 1] and are read as the bright half of [-1, 1]: if 0 is black, give "
                "2 * tensor - 1",
                stacklevel=2,
            )
        if batch.shape[-2:] == extent(size):
            return batch
        return to_tensor([fit(pixels, size, mode) for pixels in to_arrays(batch)])
    parts = several(pictures)
    if parts is None:
        return to_tensor([fit(read_pixels(pictures), size, mode)])  # type: ignore[arg-type]
    if not len(parts):
        raise InputError(f"there is no picture among those given: {KNOWN}")
    return torch.cat([gather(part, size, mode).float() for part in parts])


def prepared(pictures: Pictures, model: nn.Module, size: Size) -> Float[Tensor, "b 3 h w"]:
    """Pictures as a model of this ``size`` takes them: on the device and in the precision of its weights. A float
    tensor keeps its size, for models that read every size; others are cut to the central part."""
    weight = next(model.parameters())
    floats = isinstance(pictures, Tensor) and pictures.is_floating_point()
    batch = _signed(pictures) if floats else gather(pictures, size)  # type: ignore[arg-type]
    return batch.to(weight.device, weight.dtype)


def several(pictures: Pictures) -> Sequence[Given] | None:
    """The pictures one by one, or None where one alone was given; a batch of one is one alone."""
    if isinstance(pictures, list | tuple):
        return pictures
    if isinstance(pictures, np.ndarray | Tensor) and pictures.ndim == 4 and len(pictures) != 1:
        return list(pictures)
    return None


def read_pixels(picture: Given) -> UInt8[np.ndarray, "h w 3"]:
    """One picture as 8-bit RGB, opacity composited on white; errors as those of `preprocess`."""
    if isinstance(picture, Image.Image):
        return pillow_pixels(picture)
    if isinstance(picture, str | os.PathLike):
        return read_image(Path(picture))
    if isinstance(picture, Tensor) and picture.is_floating_point():
        return to_arrays(_signed(picture))[0]
    if isinstance(picture, np.ndarray | Tensor):
        return _array_pixels(picture)
    raise InputError(f"{_described(picture)} is no picture: {KNOWN}")


def _array_pixels(given: np.ndarray | Tensor) -> UInt8[np.ndarray, "h w 3"]:
    array = given.detach().cpu().numpy() if isinstance(given, Tensor) else given
    array = array[0] if array.ndim == 4 and len(array) == 1 else array
    if array.ndim == 2:
        array = array[..., None]
    last = array.ndim == 3 and array.shape[2] in MODES
    first = array.ndim == 3 and array.shape[0] in MODES
    if not (last or first) or 0 in array.shape:
        raise InputError(f"{_described(given)} is no picture: {KNOWN}")
    if first and (not last or isinstance(given, Tensor)):
        array = np.moveaxis(array, 0, 2)
    values = np.ascontiguousarray(_bytes(array, given))
    image = Image.fromarray(values[..., 0] if values.shape[2] == 1 else values, MODES[values.shape[2]])
    return pillow_pixels(image)


def _bytes(array: np.ndarray, given: np.ndarray | Tensor) -> UInt8[np.ndarray, "h w c"]:
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * 255
    top = {"i": 255, "u": 255, "f": 1}.get(array.dtype.kind)
    if top is None or array.dtype == np.uint16:  # whose white may be 255 or 65,535
        raise InputError(f"{_described(given)} is no picture: give numbers from 0 to 255 as uint8, or floats 0 to 1")
    low, high = float(array.min()), float(array.max())
    if not (low >= -EDGE and high <= top + EDGE):
        raise InputError(
            f"{_described(given)} has values from {low:g} to {high:g}, but a picture's are integers from 0 to 255 or "
            "floats from 0 to 1: scale them first, or give them as uint8"
        )
    return np.round(np.clip(array.astype(np.float64), 0, top) * (255 / top)).astype(np.uint8)


def _signed(tensor: Tensor) -> Float[Tensor, "b 3 h w"]:
    """A float tensor as a batch, checked."""
    batch = tensor
    if tensor.ndim in (2, 3):
        batch = tensor[None] if tensor.ndim == 2 else tensor
        last = batch.shape[2] in (1, 3) and batch.shape[0] not in (1, 3)
        batch = (batch.permute(2, 0, 1) if last else batch)[None]
    elif tensor.ndim == 4 and tensor.shape[3] in (1, 3) and tensor.shape[1] not in (1, 3):
        batch = tensor.permute(0, 3, 1, 2)
    if batch.ndim != 4 or batch.shape[1] not in (1, 3) or not batch.numel():
        raise InputError(f"{_described(tensor)} is no picture: give floats [3 h w] or [b 3 h w] in [-1, 1]")
    low, high = (float(end) for end in batch.detach().aminmax())
    if not (low >= -1 - EDGE and high <= 1 + EDGE):
        raise InputError(
            f"a picture's values go from {low:g} to {high:g}, but those of a tensor of floats belong in [-1, 1]: "
            "give 0 .. 255 as uint8, or scale them first"
        )
    return batch.expand(-1, 3, -1, -1)


def _described(given: object) -> str:
    """What was given, in words."""
    if isinstance(given, Tensor):
        return f"a tensor {list(given.shape)} of {str(given.dtype).removeprefix('torch.')}"
    if isinstance(given, np.ndarray):
        return f"an array {list(given.shape)} of {given.dtype}"
    return f"a {type(given).__name__}"
