"""Safe decoding of pictures that strangers made, and fitting them into a square."""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

from limner.errors import InputError

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "PPM")
SUFFIXES = frozenset(
    {".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff", ".avif"}
    | {".ppm", ".pgm", ".pbm", ".pnm"}
)
MAX_PIXELS = 40_000_000

_ORIENTATION = 0x0112  # the EXIF tag; TIFF 6.0 gives its values their meaning
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_quiet = threading.Lock()  # warnings.catch_warnings changes the whole process, so one thread at a time


class Picture(NamedTuple):
    """A decoded file: its pixels ``[h, w, 3]`` uint8, and the format its content (not its name) has."""

    pixels: UInt8[np.ndarray, "h w 3"]
    format: str


def read_image(
    source: str | Path | bytes, *, max_pixels: int = MAX_PIXELS, name: str | None = None
) -> UInt8[np.ndarray, "h w 3"]:
    """The pixels of a PNG, JPEG, WebP, GIF, BMP, TIFF, AVIF or PPM file, told apart by content, as 8-bit RGB.

    EXIF orientation is applied, transparency is composited on white, an animation gives its first frame, more than 8
    bits are rounded to 8, CMYK becomes RGB without a colour profile.

    Args:
        source: a path, or the bytes of the file.
        max_pixels: larger pictures are refused by their header, before anything is decoded.
        name: what errors call the file; its path if not given.

    Raises InputError, and nothing else, if the file is missing, too large, of another format, truncated or damaged.
    """
    return read_picture(source, max_pixels=max_pixels, name=name).pixels


def read_picture(source: str | Path | bytes, *, max_pixels: int = MAX_PIXELS, name: str | None = None) -> Picture:
    """``read_image`` that also tells the format."""
    name = name or ("the picture in memory" if isinstance(source, bytes) else f"'{source}'")
    data = source if isinstance(source, bytes) else _read_file(Path(source), name)
    try:
        with _open(data) as image:
            width, height = image.size
            if width * height > max_pixels:
                raise _too_large(name, f"{width}x{height} pixels, more than the {max_pixels:,} allowed")
            _load(image)
            picture = Picture(to_rgb(image), str(image.format))
    except InputError:
        raise
    except UnidentifiedImageError:
        known = (
            "empty" if not data else f"no picture that limner reads ({', '.join(FORMATS)}), or its header is damaged"
        )
        raise InputError(f"{name} is {known}: convert it to PNG, or take it away") from None
    except Image.DecompressionBombError:
        raise _too_large(name, f"far more than the {max_pixels:,} pixels allowed") from None
    except (
        Exception
    ) as error:  # Pillow raises OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, ...
        cause = " ".join(str(error).split()).rstrip(".:") or type(error).__name__
        raise InputError(f"{name} is damaged or cut short ({cause}): fetch or export it again") from None
    return picture


def fit(image: UInt8[np.ndarray, "h w 3"], size: int, mode: str = "crop") -> UInt8[np.ndarray, "size size 3"]:
    """The picture as a square of ``size`` pixels, resampled once by antialiased Lanczos.

    ``crop`` fills the square with the largest central square; ``pad`` keeps everything and fills up with white.
    Raises InputError for another mode or a size below 1.
    """
    if mode not in ("crop", "pad") or size < 1:
        raise InputError(
            f"a picture cannot be fitted by mode {mode!r} to {size} pixels: use crop or pad, and 1 or more"
        )
    height, width = image.shape[:2]
    pixels = Image.fromarray(image)
    if mode == "crop":
        side = min(height, width)
        left, top = (width - side) // 2, (height - side) // 2
        square = pixels.crop((left, top, left + side, top + side))
        return np.array(square.resize((size, size), Image.Resampling.LANCZOS))
    scale = size / max(height, width)
    inner = max(1, round(width * scale)), max(1, round(height * scale))
    square = Image.new("RGB", (size, size), (255, 255, 255))
    square.paste(pixels.resize(inner, Image.Resampling.LANCZOS), ((size - inner[0]) // 2, (size - inner[1]) // 2))
    return np.array(square)


def _read_file(path: Path, name: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{name} cannot be opened ({error.strerror}): check the path and its permissions") from None


def _too_large(name: str, cause: str) -> InputError:
    return InputError(f"{name} has {cause}: make it smaller first, or raise max_pixels if you trust it")


@contextmanager
def _quietly() -> Iterator[None]:
    """Pillow warns of large pictures and odd metadata; our own cap and errors replace that."""
    with _quiet, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _open(data: bytes) -> Image.Image:
    """Reads the header only."""
    with _quietly():
        Image.init()
        known = [name for name in FORMATS if name in Image.OPEN]  # AVIF came with Pillow 11.3
        return Image.open(io.BytesIO(data), formats=known)


def _load(image: Image.Image) -> None:
    with _quietly() if image.format == "TIFF" else nullcontext():  # which parses metadata while it loads
        image.load()


def to_rgb(image: Image.Image) -> UInt8[np.ndarray, "h w 3"]:
    """The pixels of a Pillow image, with everything that `read_image` does to them."""
    return _turn(image, _opaque(image))


def _opaque(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_to_bytes(np.asarray(image))).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, layer).convert("RGB")
    return image.convert("RGB")


def _to_bytes(values: np.ndarray) -> UInt8[np.ndarray, "h w"]:
    """Integers are taken as 16-bit grey; floats as 0 .. 1, or as 0 .. 255 if any exceeds 1."""
    grey = np.nan_to_num(values.astype(np.float32))
    top = 65535.0 if values.dtype.kind in "iu" else (255.0 if grey.max() > 1 else 1.0)
    return np.round(np.clip(grey / top, 0, 1) * 255).astype(np.uint8)


def _turn(image: Image.Image, rgb: Image.Image) -> UInt8[np.ndarray, "h w 3"]:
    """Applies the orientation; metadata that cannot be read says nothing and harms nothing."""
    try:
        with _quietly():
            turn = _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # as many classes as above
        turn = None
    return np.array(rgb if turn is None else rgb.transpose(turn))
