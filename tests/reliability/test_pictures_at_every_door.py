"""Whatever a picture is given as, every public method reads the same picture, or says what it was given."""

from __future__ import annotations

import importlib
import inspect
import io
import pkgutil
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import limner
import limner.models
import limner.tokenizers
from limner.data.images import read_image
from limner.data.preprocess import preprocess
from limner.errors import InputError

SIDE = 64
PIXELS = np.random.default_rng(3).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
GREY = PIXELS[..., :1]
FLOATS = PIXELS.astype(np.float32) / 255
SIGNED = torch.from_numpy(PIXELS).permute(2, 0, 1) / 127.5 - 1
OPAQUE = np.dstack([PIXELS, np.full((SIDE, SIDE), 255, np.uint8)])

ALIKE: dict[str, Any] = {
    "Pillow image": Image.fromarray(PIXELS),
    "Pillow image with opacity": Image.fromarray(OPAQUE),
    "array [h w 3]": PIXELS,
    "array [3 h w]": PIXELS.transpose(2, 0, 1),
    "array [1 h w 3]": PIXELS[None],
    "array [h w 4]": OPAQUE,
    "array of 64 bits": PIXELS.astype(np.int64),
    "floats 0 to 1": FLOATS,
    "floats 0 to 1 of 64 bits, [3 h w]": FLOATS.transpose(2, 0, 1).astype(np.float64),
    "mirrored view": np.ascontiguousarray(PIXELS[:, ::-1])[:, ::-1],
    "tensor [h w 3] of bytes": torch.from_numpy(PIXELS),
    "tensor [3 h w] of bytes": torch.from_numpy(PIXELS).permute(2, 0, 1),
    "tensor [3 h w] in [-1, 1]": SIGNED,
    "tensor [1 3 h w] in [-1, 1]": SIGNED[None],
    "tensor [h w 3] in [-1, 1]": SIGNED.permute(1, 2, 0),
    "tensor that learns": SIGNED.clone().requires_grad_(),
    "tensor of 64 bits": SIGNED.double(),
}
GREYS: dict[str, Any] = {
    "array [h w]": GREY[..., 0],
    "array [h w 1]": GREY,
    "array [1 h w]": GREY.transpose(2, 0, 1),
    "Pillow image": Image.fromarray(GREY[..., 0]),
    "tensor [1 h w] of bytes": torch.from_numpy(GREY).permute(2, 0, 1),
    "tensor [1 h w] in [-1, 1]": torch.from_numpy(GREY).permute(2, 0, 1) / 127.5 - 1,
}
REFUSED: dict[str, tuple[Any, str]] = {
    "floats 0 to 255": (PIXELS.astype(np.float32), r"\[64, 64, 3\] of float32 has values from 0 to 255"),
    "floats -1 to 1 of an array": (2 * FLOATS - 1, "has values from -1 to 1"),
    "a tensor of 0 to 255": (torch.from_numpy(PIXELS).float().permute(2, 0, 1), "go from 0 to 255"),
    "not a number": (np.where(FLOATS > 0.5, np.nan, FLOATS), "from nan to nan"),
    "not a number in a tensor": (SIGNED.where(SIGNED > 0, torch.nan), "from nan to nan"),
    "infinity": (np.where(FLOATS > 0.5, np.inf, FLOATS), "to inf"),
    "integers beyond 255": (PIXELS.astype(np.int32) * 2, "from 0 to 510"),
    "negative integers": (PIXELS.astype(np.int16) - 128, "from -128"),
    "16 bits": (PIXELS.astype(np.uint16), "of uint16 is no picture"),
    "two channels": (PIXELS[..., :2], r"\[64, 64, 2\] of uint8 is no picture"),
    "five channels": (np.zeros((SIDE, SIDE, 5), np.uint8), r"\[64, 64, 5\]"),
    "one axis": (np.zeros(7, np.uint8), r"\[7\] of uint8"),
    "no pixels": (np.zeros((0, 8, 3), np.uint8), r"\[0, 8, 3\]"),
    "complex numbers": (PIXELS.astype(np.complex64), "complex64"),
    "words": (np.array([["a"] * 3] * 3), "is no picture"),
    "a missing file": ("nowhere.png", "'nowhere.png' cannot be opened"),
}


def doors() -> dict[str, Callable[[Any], Any]]:
    """A public method each that takes a picture."""
    both, tokenizer = limner.load("limner-64"), limner.load("vq-vae-64")
    recogniser, pyramid, line = limner.load("recogniser"), limner.load("multiscale-64"), limner.load("titok-64")
    return {
        "encode": lambda picture: tokenizer.encode(picture).tolist(),
        "encode, scales": lambda picture: pyramid.encode(picture).tolist(),
        "encode, a line": lambda picture: line.encode(picture).tolist(),
        "see": lambda picture: both.see(picture, "What colour is the star?"),
        "words": lambda picture: both.words(picture, 3).patches,
        "read": lambda picture: recogniser.read(picture),
        "preprocess": lambda picture: preprocess(picture, SIDE).detach().float().round(decimals=4).tolist(),
    }


@pytest.fixture(scope="module")
def every_door() -> dict[str, Callable[[Any], Any]]:
    return doors()


@pytest.mark.parametrize("given_as", [*ALIKE])
def test_a_picture_is_the_same_whatever_it_is_given_as(every_door: Any, given_as: str) -> None:
    for name, door in every_door.items():
        assert door(ALIKE[given_as]) == door(Image.fromarray(PIXELS)), name


@pytest.mark.parametrize("given_as", [*GREYS])
def test_grey_is_the_same_whatever_it_is_given_as(every_door: Any, given_as: str) -> None:
    wanted = Image.fromarray(np.repeat(GREY, 3, 2))
    for name, door in every_door.items():
        assert door(GREYS[given_as]) == door(wanted), name


@pytest.mark.parametrize("what", [*REFUSED])
def test_what_is_no_picture_is_refused_by_what_it_is(every_door: Any, what: str) -> None:
    picture, sentence = REFUSED[what]
    for name, door in every_door.items():
        with pytest.raises(InputError, match=sentence):
            raise AssertionError(f"{name} took it for {door(picture)}")


def test_files_of_every_kind_are_read_alike(every_door: Any, tmp_path: Any) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    for place in (tmp_path / "a.png", str(tmp_path / "a.png")):
        assert all(door(place) == door(PIXELS) for door in every_door.values())


def test_many_pictures_are_each_of_them(every_door: Any) -> None:
    both, tokenizer = limner.load("limner-64"), limner.load("vq-vae-64")
    mixed = [Image.fromarray(PIXELS), SIGNED, np.zeros((20, 30, 3), np.uint8)]
    asked = ["What colour is the star?", "How many things are there?", "Is there a ring?"]
    assert torch.equal(tokenizer.encode(mixed), torch.cat([tokenizer.encode(one) for one in mixed]))
    assert torch.equal(tokenizer.encode(np.stack([PIXELS] * 2))[1:], tokenizer.encode(mixed[0]))
    assert both.see(mixed, asked) == [both.see(one, text) for one, text in zip(mixed, asked, strict=True)]
    assert both.see(mixed) == [both.see(one) for one in mixed]
    assert both.words(mixed, 2) == [both.words(one, 2) for one in mixed]
    with pytest.raises(InputError, match="3 pictures were given 2 questions"):
        both.see(mixed, asked[:2])
    with pytest.raises(InputError, match="is no picture but 2 of them"):
        preprocess(torch.stack([SIGNED, SIGNED]), SIDE)
    with pytest.raises(InputError, match="there is no picture among"):
        tokenizer.encode([])


def test_a_tensor_that_may_be_meant_otherwise_is_read_with_a_word() -> None:
    """[0, 1] is the bright half of [-1, 1], and what other libraries mean by the whole."""
    with pytest.warns(UserWarning, match="read as the bright half"):
        limner.load("limner-64").words(torch.from_numpy(FLOATS).permute(2, 0, 1))


@settings(deadline=None, max_examples=60)
@given(
    shape=st.lists(st.integers(0, 6), min_size=0, max_size=5),
    kind=st.sampled_from(["uint8", "int64", "float16", "float32", "bool", "uint16", "complex64", "<U1", "object"]),
    top=st.sampled_from([0, 1, 2, 255, 1e9, np.nan]),
    tensor=st.booleans(),
)
def test_any_array_is_a_picture_or_refused(shape: list[int], kind: str, top: float, tensor: bool) -> None:
    with np.errstate(all="ignore"), pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *_, **__: None)  # numpy's, of values that do not fit
        array: Any = np.full(shape, top).astype(kind)
        array = torch.from_numpy(array) if tensor and kind not in ("<U1", "object", "uint16") else array
        try:
            image = preprocess(array, 4)
        except InputError:
            return
        assert image.shape == (1, 3, 4, 4)
        assert image.isfinite().all()
        assert image.abs().max() <= 1.001


TAKES = {"image", "images", "control", "picture"}
METHODS = {"encode", "see", "words", "answers", "draw"}


def test_no_public_method_reads_pictures_by_itself() -> None:
    """Every method of a model that takes a picture takes what `limner.data.preprocess` takes."""
    found = {}
    for package in (limner.models, limner.tokenizers):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            for name, kind in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
                for method in METHODS & vars(kind).keys() if kind.__module__ == module.name else ():
                    for parameter in inspect.signature(getattr(kind, method)).parameters.values():
                        if parameter.name in TAKES:
                            found[f"{name}.{method}"] = str(parameter.annotation)
    assert len(found) > 7
    words = ("Pictures", "Given", "Any", "Clip")
    assert not {name: hint for name, hint in found.items() if not any(word in hint for word in words)}


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def test_a_transparent_grey_of_16_bits_is_white() -> None:
    header, row = struct.pack(">IIBBBBB", 2, 1, 16, 0, 0, 0, 0), zlib.compress(b"\0" + struct.pack(">HH", 0, 30_000))
    parts = (chunk(b"IHDR", header), chunk(b"tRNS", struct.pack(">H", 0)), chunk(b"IDAT", row), chunk(b"IEND", b""))
    assert read_image(b"\x89PNG\r\n\x1a\n" + b"".join(parts))[0, :, 0].tolist() == [255, 117]


def test_a_pillow_image_that_breaks_while_it_is_decoded_is_named(every_door: Any) -> None:
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "PNG")
    for name, door in every_door.items():
        with pytest.raises(InputError, match="damaged or cut short"):
            raise AssertionError(f"{name} took it for {door(Image.open(io.BytesIO(file.getvalue()[:4000])))}")
