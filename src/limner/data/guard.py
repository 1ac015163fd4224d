"""Small files of large cost, refused before anything is decoded: what a header promises is held against the file.

no regular file       a pipe or a device would be waited for; more than `MAX_BYTES` is not read at all
progressive JPEG      every scan repaints the whole picture: at most `MAX_SCANS`
PNG                   deflate makes at most 1,032 bytes of one, so few bytes cannot hold many rows
TIFF                  a tile is decoded whole, however little of it the picture shows
AVIF                  a frame is decoded whole, whatever size the container gives the picture
PPM as text           every number is read by a loop in Python: at most `MAX_WRITTEN` pixels
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from PIL import Image

from limner.errors import InputError

MAX_BYTES = 2**29
MAX_SCANS = 100  # encoders make about ten
MAX_WRITTEN = 4_000_000
DEFLATE = 1032  # bytes out of one, at most (RFC 1951: 258 bytes of two bits)
LARGE_TILE = 2**22  # pixels; below it a tile costs little, whatever the picture's size
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by the colour type of a PNG
_MARKER = re.compile(rb"\xff+([^\x00\xd0-\xd7\xff])", re.DOTALL)  # of a JPEG, that ends a run of coded data


def read_file(path: Path, name: str) -> bytes:
    """The bytes of a regular file; raises `InputError` if it is none, is too large or cannot be opened."""
    try:
        found = path.stat()
        if stat.S_ISREG(found.st_mode) and found.st_size <= MAX_BYTES:
            return path.read_bytes()
    except OSError as error:
        raise InputError(f"{name} cannot be opened ({error.strerror}): check the path and its permissions") from None
    except ValueError as error:
        raise InputError(f"{name} cannot be opened ({error}): check the path") from None
    if stat.S_ISDIR(found.st_mode):
        raise InputError(f"{name} cannot be opened ({os.strerror(21)}): check the path and its permissions")
    if not stat.S_ISREG(found.st_mode):
        raise InputError(f"{name} cannot be opened (it is a pipe or a device): save the picture to a file first")
    raise InputError(f"{name} has {found.st_size:,} bytes, more than the {MAX_BYTES:,} allowed: make it smaller first")


def check_cost(image: Image.Image, data: bytes, name: str) -> None:
    """Raises `InputError` if decoding this picture, whose header was read, would cost more than its size allows."""
    check = {"PNG": _png, "JPEG": _jpeg, "MPO": _jpeg, "TIFF": _tiff, "AVIF": _avif, "PPM": _ppm}.get(str(image.format))
    if check is not None and (cause := check(image, data)):
        raise InputError(f"{name} {cause}: export it again as an ordinary PNG or JPEG")


def _png(image: Image.Image, data: bytes) -> str:
    row = (image.width * data[24] * _CHANNELS.get(data[25], 1) + 7) // 8
    rows = DEFLATE * len(data) // max(row, 1)
    return "" if rows >= image.height else f"is cut short: {len(data):,} bytes cannot hold {image.height:,} rows"


def _jpeg(image: Image.Image, data: bytes) -> str:
    scans = count_scans(data)
    return f"repaints itself in {scans:,} scans or more, over {MAX_SCANS}" if scans > MAX_SCANS else ""


def count_scans(data: bytes) -> int:
    """Scans of the first picture of a JPEG file, counted to one more than allowed; what follows it is not read."""
    at, scans = 2, 0
    while scans <= MAX_SCANS and (found := _MARKER.search(data, at)):
        marker, at = found[1][0], found.end()
        if marker == 0xD9 or at + 2 > len(data):
            break
        scans += marker == 0xDA
        at += int.from_bytes(data[at : at + 2], "big")
    return scans


def _tiff(image: Image.Image, data: bytes) -> str:
    tags = getattr(image, "tag_v2", {})
    width, height = (_whole(tags.get(tag)) for tag in (322, 323))
    visible = max(image.width * image.height, LARGE_TILE)
    return f"has tiles of {width}x{height} pixels, far more than it shows" if width * height > visible else ""


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0


def _avif(image: Image.Image, data: bytes) -> str:
    from limner.data.av1 import frame_pixels

    visible = max(image.width * image.height, LARGE_TILE)
    return "holds a frame of far more pixels than it shows" if frame_pixels(data) > visible else ""


def _ppm(image: Image.Image, data: bytes) -> str:
    written = any(tile[0] == "ppm_plain" for tile in getattr(image, "tile", ()))
    return "is a large picture written as text" if written and image.width * image.height > MAX_WRITTEN else ""
