"""Small files of large cost: refused, or read, at a cost that their size explains."""

from __future__ import annotations

import io
import os
import random
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

import limner
from limner.data import guard
from limner.data.av1 import frame_pixels
from limner.data.images import read_image
from limner.errors import InputError

SECONDS = 1.0  # of computing, for a file of few kB


@pytest.fixture(autouse=True)
def quick() -> Iterator[None]:
    start = time.process_time()
    yield
    assert time.process_time() - start < 12 * SECONDS


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def short_png(width: int, height: int, rows: int, colour: int = 2) -> bytes:
    """Of so many rows, where the header promises ``height``."""
    channels = guard._CHANNELS[colour]
    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    data = zlib.compress(b"\0" * ((1 + channels * width) * rows), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def many_scans(count: int, side: int = 64) -> bytes:
    """A progressive JPEG whose last scan is repeated."""
    whole = saved(Image.effect_noise((side, side), 80).convert("L"), "JPEG", progressive=True)
    last = whole.rfind(b"\xff\xda")
    return whole[:last] + whole[last:-2] * count + whole[-2:]


def large_tile(edge: int) -> bytes:
    """A TIFF of 64x64 pixels in one tile of ``edge`` pixels, deflated."""
    tile = zlib.compress(b"\0" * edge * edge, 9)
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in {256: 64, 257: 64, 258: 8, 259: 8, 262: 1, 277: 1, 322: edge, 323: edge, 325: len(tile)}.items():
        tags[tag] = value
    tags[324] = 8
    return b"II*\0" + struct.pack("<I", 8 + len(tile)) + tile + tags.tobytes(8 + len(tile))


def large_frame(edge: int, **options: object) -> bytes:
    """An AVIF whose container says 64x64 pixels, and whose frame has ``edge`` pixels on a side."""
    data = saved(Image.new("RGB", (edge, edge)), "AVIF", speed=10, **options)
    at = data.find(b"ispe") + 8
    return data[:at] + struct.pack(">II", 64, 64) + data[at + 8 :]


def test_what_is_no_regular_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    for place in (tmp_path / "pipe.png", Path("/dev/zero")):
        with pytest.raises(InputError, match="a pipe or a device"):
            read_image(place)


def test_a_sparse_file_is_refused_by_its_size(tmp_path: Path) -> None:
    place = tmp_path / "sparse.png"
    with place.open("wb") as file:
        file.truncate(3 * 2**30)
    with pytest.raises(InputError, match="3,221,225,472 bytes, more than the"):
        read_image(place)


HEAVY: dict[str, tuple[Callable[[], bytes], str]] = {
    "a JPEG of 2,000 scans": (lambda: many_scans(2000), "in 101 scans or more"),
    "a PNG of 1,000 rows in 30,000": (lambda: short_png(1300, 30_000, 100), "cannot hold 30,000 rows"),
    "a grey PNG of few rows": (lambda: short_png(6000, 6000, 1, 0), "cannot hold 6,000 rows"),
    "a TIFF of one large tile": (lambda: large_tile(6000), "tiles of 6000x6000 pixels"),
    "an AVIF of a large frame": (lambda: large_frame(3000), "a frame of far more pixels"),
    "a picture written as text": (lambda: b"P3 3000 3000 255\n" + b"1 " * 5000, "written as text"),
}


@pytest.mark.parametrize("what", [*HEAVY])
def test_a_small_file_of_large_cost_is_refused_before_it_is_decoded(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make, sentence = HEAVY[what]
    data = make()
    monkeypatch.setattr("limner.data.images._load", lambda _: pytest.fail("it was decoded"))
    with pytest.raises(InputError, match=sentence):
        read_image(data)


def test_a_text_white_of_any_value_is_read_in_one_go() -> None:
    rng = np.random.default_rng(0)
    for magic, white, shape in (("P6", 254, (40, 50, 3)), ("P5", 99, (40, 50)), ("P6", 1000, (40, 50, 3))):
        values = rng.integers(0, white + 1, shape).astype(">u2" if white > 255 else np.uint8)
        data = f"{magic} 50 40 {white}\n".encode() + values.tobytes()
        with Image.open(io.BytesIO(data)) as slow:
            assert np.array_equal(read_image(data), np.asarray(slow.convert("RGB")))
    large = b"P6 3000 3000 254\n" + bytes(27_000_000)
    start = time.process_time()
    assert read_image(large).shape == (3000, 3000, 3)
    assert time.process_time() - start < SECONDS
    with pytest.raises(InputError, match="damaged or cut short"):
        read_image(large[:-1])


def test_ordinary_pictures_are_not_taken_for_heavy_ones() -> None:
    noise = Image.effect_noise((300, 200), 80).convert("RGB")
    for kind, options in (
        ("JPEG", {"progressive": True}),
        ("PNG", {}),
        ("TIFF", {"compression": "tiff_deflate"}),
        ("AVIF", {"speed": 10}),
        ("PPM", {}),
    ):
        assert read_image(saved(noise, kind, **options)).shape == (200, 300, 3)
        assert read_image(saved(Image.new("RGB", (2000, 1500)), kind, **options)).shape == (1500, 2000, 3)
    motion = saved(noise, "JPEG") + b"\xff\xda\0\2" * 5000  # a phone's picture with a film behind it
    assert read_image(motion).shape == (200, 300, 3)
    assert guard.count_scans(saved(noise, "JPEG", progressive=True)) == 10
    assert guard.count_scans(saved(noise, "JPEG")) == 1


def test_the_frame_of_an_avif_is_read_whatever_its_container_says() -> None:
    for options in ({}, {"save_all": True, "append_images": [Image.new("RGB", (320, 320), "red")]}):
        assert frame_pixels(large_frame(320, **options)) == 320 * 320
    assert frame_pixels(b"no AVIF at all") == 0


def test_a_damaged_container_ends_the_search(trials: Callable[[int, int], int]) -> None:
    rng, sound = random.Random(5), large_frame(320)
    for _ in range(trials(300, 20_000)):
        content = bytearray(sound)
        for _ in range(rng.choice((1, 4, 40))):
            content[rng.randrange(len(content))] = rng.randrange(256)
        assert frame_pixels(bytes(content)) >= 0


def test_a_long_question_is_refused_before_its_mask_is_built() -> None:
    model, picture = limner.load("limner-64"), Image.new("RGB", (64, 64))
    start = time.process_time()
    with pytest.raises(InputError, match="but there is room for 511"):
        model.see(picture, "zqx " * 1500)
    assert time.process_time() - start < SECONDS
    assert model.see(picture, "zqx " * 40)
