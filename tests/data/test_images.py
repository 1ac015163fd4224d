import io
import random
import struct
import time
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from limner.data.images import fit, read_image, read_picture
from limner.errors import InputError

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def quadrants() -> np.ndarray:
    """24 x 16: red, blue over green, white."""
    pixels = np.full((16, 24, 3), 255, np.uint8)
    pixels[:8, :12], pixels[:8, 12:], pixels[8:, :12] = RED, BLUE, GREEN
    return pixels


def saved(image: Image.Image | np.ndarray, kind: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(file, kind, **options)
    return file.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bilevel_png(width: int, height: int, rows: int | None = None) -> bytes:
    """A black 1-bit PNG whose header promises ``height`` rows and whose data holds ``rows``."""
    data = zlib.compress(b"\0" * ((1 + (width + 7) // 8) * (height if rows is None else rows)), 1)
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "PPM"])
def test_reads_every_format_by_content(kind, tmp_path):
    path = tmp_path / "wrong-ending.txt"
    path.write_bytes(saved(quadrants(), kind, **({"quality": 95} if kind in ("JPEG", "AVIF", "WEBP") else {})))
    picture = read_picture(path)
    assert picture.format == kind
    assert picture.pixels.dtype == np.uint8
    for (y, x), colour in {(3, 5): RED, (3, 18): BLUE, (12, 5): GREEN, (12, 18): WHITE}.items():
        assert np.abs(picture.pixels[y, x].astype(int) - colour).max() <= 24
    assert np.array_equal(read_image(str(path)), read_image(path.read_bytes()))


ORIENTED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a),
}


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", ORIENTED)
def test_orientation_is_applied(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(quadrants(), kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))
    assert np.array_equal(read_image(data), ORIENTED[orientation](quadrants()))


def test_a_picture_from_a_phone_stands_upright():
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = read_image(saved(quadrants(), "JPEG", quality=100, subsampling=0, exif=exif))
    assert np.abs(pixels.astype(int) - np.rot90(quadrants(), -1)).max() < 60
    assert pixels.shape == (24, 16, 3)


@pytest.mark.parametrize("junk", [b"junk that is no TIFF header", b"II*\0", b"MM\0*\0\0\0\x08\0\xff\x01\x12\0\x03"])
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG"])
def test_garbage_in_the_metadata_does_no_harm(junk, kind):
    data = saved(quadrants(), kind, exif=b"Exif\0\0" + junk)
    assert read_image(data).shape == (16, 24, 3)


def test_transparency_is_composited_on_white():
    rgba = np.dstack([quadrants(), np.full((16, 24), 51, np.uint8)])
    expected = np.round(quadrants() * 0.2 + 255 * 0.8)
    assert np.abs(read_image(saved(rgba)) - expected).max() <= 1
    grey = np.zeros((4, 4, 2), np.uint8)
    grey[..., 1] = 51
    assert np.unique(read_image(saved(Image.fromarray(grey)))).tolist() == [204]


def test_palettes_with_and_without_transparency():
    indexed = Image.fromarray(quadrants()).quantize(4)
    assert np.array_equal(read_image(saved(indexed)), quadrants())
    clear = indexed.getpixel((0, 0))
    assert np.array_equal(read_image(saved(indexed, transparency=clear))[0, 0], WHITE)
    assert np.array_equal(read_image(saved(indexed, transparency=bytes([0] * 4)))[3, 3], WHITE)
    assert np.array_equal(read_image(saved(indexed, "GIF", transparency=clear))[0, 0], WHITE)
    keyed = saved(quadrants(), transparency=RED)
    assert np.array_equal(read_image(keyed)[0, 0], WHITE)
    assert np.array_equal(read_image(keyed)[0, 20], BLUE)


def test_sixteen_bits_floats_bilevel_and_cmyk():
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    for kind in ("PNG", "TIFF"):
        assert np.array_equal(read_image(saved(ramp, kind))[..., 0].ravel(), np.arange(256))
    assert np.array_equal(
        read_image(b"P5 16 16 65535\n" + ramp.astype(">u2").tobytes())[..., 1].ravel(), np.arange(256)
    )
    floats = (np.arange(256, dtype=np.float32) / 255).reshape(16, 16)
    assert np.array_equal(read_image(saved(floats, "TIFF"))[..., 0].ravel(), np.arange(256))
    assert np.array_equal(read_image(saved(floats * 255, "TIFF"))[..., 2].ravel(), np.arange(256))
    assert np.unique(read_image(saved(Image.new("1", (5, 5), 1)))).tolist() == [255]
    cmyk = Image.fromarray(quadrants()).convert("CMYK")
    assert np.abs(read_image(saved(cmyk, "JPEG", quality=100)).astype(int)[3, 5] - RED).max() < 12
    assert np.array_equal(read_image(saved(cmyk, "TIFF")), quadrants())


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_frame_of_an_animation(kind):
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, GREEN, BLUE)]
    data = saved(frames[0], kind, save_all=True, append_images=frames[1:])
    assert np.abs(read_image(data).astype(int) - RED).max() <= 8


def test_two_pictures_in_one_jpeg():
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, GREEN)]
    picture = read_picture(saved(frames[0], "MPO", save_all=True, append_images=frames[1:]))
    assert picture.format == "MPO"
    assert np.abs(picture.pixels.astype(int) - RED).max() <= 8


def test_the_pixel_cap_is_read_from_the_header():
    bomb = bilevel_png(13000, 13000)
    start = time.process_time()
    with pytest.raises(InputError, match="13000x13000 pixels, more than the 40,000,000 allowed"):
        read_image(bomb)
    with pytest.raises(InputError, match="pixels allowed: make it smaller"):
        read_image(bilevel_png(60000, 60000, rows=1))
    assert time.process_time() - start < 0.5
    with pytest.raises(InputError, match="24x16 pixels, more than the 383 allowed"):
        read_image(saved(quadrants()), max_pixels=383)
    assert read_image(saved(quadrants()), max_pixels=384).shape == (16, 24, 3)


def test_errors_name_file_cause_and_remedy(tmp_path):
    with pytest.raises(InputError, match=r"gone\.png' cannot be opened \(No such file.*check the path"):
        read_image(tmp_path / "gone.png")
    with pytest.raises(InputError, match="cannot be opened"):
        read_image(tmp_path)
    cut = tmp_path / "cut.png"
    cut.write_bytes(saved(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))[:5000])
    with pytest.raises(InputError, match=r"cut\.png' is damaged or cut short \(.*truncated.*fetch or export it again"):
        read_image(cut)
    with pytest.raises(InputError, match="the picture in memory is empty"):
        read_image(b"")
    with pytest.raises(
        InputError, match=r"cat\.jpg in a\.tar is no picture that limner reads \(PNG, JPEG.*convert it to PNG"
    ):
        read_image(b"<html>not found</html>", name="cat.jpg in a.tar")


def test_fit_crops_and_pads():
    tall = np.zeros((30, 10, 3), np.uint8)
    tall[10:20] = RED
    assert np.array_equal(fit(tall, 5), np.broadcast_to(RED, (5, 5, 3)))
    padded = fit(tall, 30, "pad")
    assert np.array_equal(padded[:, :10], np.full((30, 10, 3), 255))
    assert np.array_equal(padded[:, 10:20], tall)
    assert fit(quadrants(), 64).shape == fit(quadrants(), 64, "pad").shape == (64, 64, 3)
    assert fit(np.zeros((1, 999, 3), np.uint8), 8, "pad").shape == (8, 8, 3)
    checks = np.indices((256, 256)).sum(0) % 2 * 255
    assert np.abs(fit(np.dstack([checks] * 3).astype(np.uint8), 16).astype(int) - 127.5).max() < 4  # no aliasing
    with pytest.raises(InputError, match="stretch"):
        fit(tall, 8, "stretch")


def originals() -> list[bytes]:
    """Thirteen sound files, with metadata where the format has it."""
    noisy = (
        np.random.default_rng(1).integers(0, 256, (24, 40, 3), np.uint8) // 8 + quadrants().repeat(2, 1)[:1, :40] // 2
    )
    image = Image.fromarray(noisy)
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a picture"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    meta = {"exif": exif, "icc_profile": profile}
    frames = {"save_all": True, "append_images": [image.rotate(180)]}
    return [
        saved(image, "PNG", **meta),
        saved(image.quantize(16), "PNG", transparency=0),
        saved(np.asarray(image.convert("L")).astype(np.uint16) * 257, "PNG"),
        saved(image, "JPEG", **meta),
        saved(image.convert("CMYK"), "JPEG", progressive=True),
        saved(image, "WEBP", **meta),
        saved(image, "WEBP", lossless=True, **frames),
        saved(image.quantize(32), "GIF", **frames),
        saved(image, "BMP"),
        saved(image, "TIFF", compression="tiff_lzw", **meta),
        saved(image, "TIFF"),
        saved(image, "AVIF", speed=10, **meta),
        saved(image, "PPM"),
    ]


def damaged(data: bytes, rng: random.Random) -> bytes:
    """One of seven kinds of damage."""
    content, place = bytearray(data), rng.randrange(len(data))
    match rng.randrange(7):
        case 0:
            return data[:place]
        case 1:
            for _ in range(rng.choice((1, 3, 30))):
                content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        case 2:  # two stretches change places
            length = rng.randrange(4, 64)
            other = rng.randrange(len(data))
            first, second = content[place : place + length], content[other : other + length]
            content[place : place + length], content[other : other + length] = second, first
        case 3:  # a header that lies: sizes, offsets and counts live in the first 64 bytes
            start = rng.randrange(4, 64)
            content[start : start + 4] = rng.choice(
                (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\0\0\x27\x10")
            )
        case 4:  # metadata is garbage
            marks = [
                at for mark in (b"Exif", b"eXIf", b"EXIF", b"ICC", b"iCCP", b"II*\0") if (at := data.find(mark)) > 0
            ]
            start = rng.choice(marks or [place]) + 4
            content[start : start + 40] = rng.randbytes(40)
        case 5:
            content[place : place + 200] = b""
        case 6:
            content[place:place] = rng.randbytes(rng.randrange(1, 5000))
    return bytes(content)


def honest_crc(data: bytes, rng: random.Random) -> bytes:
    """A PNG whose header lies about size, depth or colour and whose checksums are right."""
    header = bytearray(data[16:29])
    header[rng.randrange(13)] = rng.choice((0, 1, 2, 3, 6, 8, 16, 64, 255))
    return data[:8] + chunk(b"IHDR", bytes(header)) + data[33:]


def malformed() -> list[bytes]:
    rng = random.Random(7)
    sound = originals()
    files = [damaged(rng.choice(sound), rng) for _ in range(900)]
    files += [honest_crc(rng.choice(sound[:3]), rng) for _ in range(80)]
    files += [
        b"",
        b"\0",
        b"a" * 5000,
        b"<svg/>",
        b"%PDF-1.4",
        b"P3 9 9 255 red",
        b"P6 99999 99999 255\n",
        b"BM",
        b"GIF89a",
    ]
    files += [b"P2 6000 6000 255\n" + b"1 " * 2000, b"P1 6000 6000\n" + b"1" * 999, rng.randbytes(10_000)]
    files += [bilevel_png(13000, 13000), bilevel_png(13000, 13000)[:400], bilevel_png(6000, 6000, rows=5)]
    files += [bilevel_png(60000, 60000, 1), bilevel_png(0, 5), sound[0] * 2, sound[3][:20] + sound[0], sound[7][::-1]]
    return files


def test_a_thousand_malformed_files_raise_input_errors_quickly(tmp_path):
    files = malformed()
    assert len(files) == 1000
    messages, path = [], tmp_path / "picture.jpg"
    for number, data in enumerate(files):
        path.write_bytes(data)
        start = time.process_time()
        try:
            pixels = read_image(path)
            assert pixels.dtype == np.uint8
            assert pixels.shape[2] == 3
        except InputError as error:
            messages.append(str(error))
        assert time.process_time() - start < 2, f"file {number} took too long"
    assert 500 < len(messages) < 950
    assert all("picture.jpg" in message and "\n" not in message for message in messages)


def test_no_warning_escapes_and_filters_are_left_alone():
    before = list(warnings.filters)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(InputError):
            read_image(bilevel_png(13000, 13000))
    assert not caught
    assert warnings.filters == before
