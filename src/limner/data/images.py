"""Safe decoding of pictures that strangers made, and fitting them to a size."""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import NamedTuple, TypeAlias

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
Size: TypeAlias = int | tuple[int, int]  # as `limner.types.Size`, without torch

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
    """The pixels of a PNG, JPEG, WebP, GIF, BMP, TIFF, AVIF or PPM file, recognised by content, as 8-bit RGB.

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
    from limner.data.guard import check_cost, read_file

    name = name or ("the picture in memory" if isinstance(source, bytes) else f"'{source}'")
    data = source if isinstance(source, bytes) else read_file(Path(source), name)
    with _damage_named(name, max_pixels, data), _open(data) as image:
        _check_size(image, max_pixels, name)
        check_cost(image, data, name)
        kind, image = str(image.format), _scaled(image, data)
        _load(image)
        return Picture(to_rgb(image), kind)


def pillow_pixels(image: Image.Image, *, max_pixels: int = MAX_PIXELS) -> UInt8[np.ndarray, "h w 3"]:
    """The pixels of a Pillow image, which may not be decoded yet, as `read_image` gives those of files."""
    name = f"'{file}'" if (file := getattr(image, "filename", "")) else "the Pillow image"
    with _damage_named(name, max_pixels):
        _check_size(image, max_pixels, name)
        return to_rgb(image)


def _check_size(image: Image.Image, max_pixels: int, name: str) -> None:
    width, height = image.size
    if width * height > max_pixels:
        raise _too_large(name, f"{width}x{height} pixels, more than the {max_pixels:,} allowed")
    if not width * height:
        raise InputError(f"{name} has no pixels ({width}x{height}): fetch or export it again")


@contextmanager
def _damage_named(name: str, max_pixels: int, data: bytes = b"?") -> Iterator[None]:
    """Whatever Pillow raises, as one sentence."""
    try:
        yield
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


def extent(size: Size) -> tuple[int, int]:
    """Height and width in pixels."""
    return (size, size) if isinstance(size, int) else size


def fit(image: UInt8[np.ndarray, "h w 3"], size: Size, mode: str = "crop") -> UInt8[np.ndarray, "height width 3"]:
    """The picture in ``size`` pixels, a side of a square or height and width, resampled once by antialiased Lanczos.

    ``crop`` takes the largest central part of that shape; ``pad`` keeps everything and fills up with white.
    Raises InputError for another mode or a size below 1.
    """
    rows, columns = extent(size)
    if mode not in ("crop", "pad") or min(rows, columns) < 1:
        raise InputError(
            f"a picture cannot be fitted by mode {mode!r} to {size} pixels: use crop or pad, and 1 or more"
        )
    height, width = image.shape[:2]
    pixels = Image.fromarray(image)
    if mode == "crop":
        scale = min(height / rows, width / columns)
        inner_width, inner_height = (max(1, round(edge * scale)) for edge in (columns, rows))
        left, top = (width - inner_width) // 2, (height - inner_height) // 2
        part = pixels.crop((left, top, left + inner_width, top + inner_height))
        return np.array(part.resize((columns, rows), Image.Resampling.LANCZOS))
    scale = min(rows / height, columns / width)
    inner = max(1, round(width * scale)), max(1, round(height * scale))
    page = Image.new("RGB", (columns, rows), (255, 255, 255))
    page.paste(pixels.resize(inner, Image.Resampling.LANCZOS), ((columns - inner[0]) // 2, (rows - inner[1]) // 2))
    return np.array(page)


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


def _scaled(image: Image.Image, data: bytes) -> Image.Image:
    """A PPM file whose white is neither 255 nor a grey of 65,535, which Pillow reads number by number, in one go."""
    tiles, (width, height), bands = getattr(image, "tile", ()), image.size, len(image.getbands())
    if image.format != "PPM" or not tiles or tiles[0][0] != "ppm":
        return image
    offset, white = tiles[0][2], tiles[0][3][1]
    values = np.frombuffer(data, ">u2" if white > 255 else np.uint8, width * height * bands, offset)
    top = 65535 if image.mode == "I" else 255
    table = np.minimum(np.rint(np.arange(65536 if white > 255 else 256) / white * top), top)
    pixels = np.round(table * (255 / top)).astype(np.uint8)[values]
    return Image.fromarray(pixels.reshape((height, width) if bands == 1 else (height, width, bands)))


def _load(image: Image.Image) -> None:
    with _quietly() if image.format == "TIFF" else nullcontext():  # which parses metadata while it loads
        image.load()


def to_rgb(image: Image.Image) -> UInt8[np.ndarray, "h w 3"]:
    """The pixels of a Pillow image, with everything that `read_image` does to them."""
    return _turn(image, _opaque(image))


def _opaque(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image)
        clear = values == image.info.get("transparency", -1)  # a PNG of 16-bit grey may name one
        return Image.fromarray(np.where(clear, np.uint8(255), _to_bytes(values))).convert("RGB")
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
