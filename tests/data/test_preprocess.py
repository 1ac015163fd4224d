"""Whatever a picture is given as, a model gets the same numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from limner.data.preprocess import preprocess
from limner.errors import InputError
from limner.nn.pixels import to_arrays


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (24, 16, 3), dtype=np.uint8)


def test_files_images_arrays_and_tensors_are_one(pixels: np.ndarray, tmp_path: Path) -> None:
    file = tmp_path / "picture.png"
    Image.fromarray(pixels).save(file)
    tensor = torch.from_numpy(pixels).permute(2, 0, 1) / 127.5 - 1
    expected = preprocess(pixels, 8)
    assert expected.shape == (1, 3, 8, 8)
    for given in (file, str(file), Image.fromarray(pixels), tensor, tensor[None]):
        assert torch.equal(preprocess(given, 8), expected)


def test_nothing_is_cut_off_unless_asked(pixels: np.ndarray) -> None:
    padded, cropped = (to_arrays(preprocess(pixels, 24, mode))[0] for mode in ("pad", "crop"))
    assert (padded[:, :4] == 255).all()
    assert np.array_equal(padded[:, 4:20], pixels)
    assert not (cropped[:, :4] == 255).all()


def test_a_tensor_of_the_size_is_left_alone() -> None:
    image = torch.linspace(-1, 1, 3 * 8 * 8).reshape(3, 8, 8)
    assert torch.equal(preprocess(image, 8)[0], image)


def test_modes_and_turns_are_those_of_files(pixels: np.ndarray) -> None:
    clear = Image.fromarray(pixels).convert("RGBA")
    clear.putalpha(0)
    assert torch.equal(preprocess(clear, 8), torch.ones(1, 3, 8, 8))
    turned = Image.fromarray(pixels)
    turned.getexif()[0x0112] = 3
    assert torch.equal(preprocess(turned, 24, "crop"), preprocess(pixels[::-1, ::-1].copy(), 24, "crop"))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (torch.zeros(2, 3, 8, 8), r"\[2, 3, 8, 8\] .* is no picture"),
        (torch.zeros(8, 8, 2), r"\[8, 8, 2\] .* is no picture"),
        (torch.zeros(3, 8, 8, dtype=torch.complex64), "complex64 is no picture"),
        (torch.full((3, 8, 8), 200.0), "from 200 to 200"),
        (torch.full((3, 8, 8), torch.nan), "from nan"),
        ("nowhere.png", "cannot be opened"),
    ],
)
def test_what_is_no_picture_is_named(given: torch.Tensor | str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        preprocess(given, 8)
