"""Pages, strips, animations and token maps: what lands where."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from limner import pictures
from limner.errors import InputError

RED, BLUE = (200, 30, 30), (30, 30, 200)


def plain(colour: tuple[int, int, int], width: int = 8, height: int = 8) -> np.ndarray:
    return np.broadcast_to(np.array(colour, np.uint8), (height, width, 3)).copy()


def ink_rows(page: Image.Image) -> np.ndarray:
    return np.flatnonzero((np.asarray(page.convert("L")) < 128).any(axis=1))


def test_a_page_places_pictures_in_rows():
    page = pictures.grid([plain(RED), plain(BLUE), plain(BLUE)], 2, cell=40)
    assert page.size == (2 * 40 + 3 * 12, 2 * 40 + 3 * 12)
    assert page.getpixel((12 + 20, 12 + 20)) == RED
    assert page.getpixel((24 + 60, 12 + 20)) == BLUE
    assert page.getpixel((12 + 20, 24 + 60)) == BLUE
    assert page.getpixel((24 + 60, 24 + 60)) == (255, 255, 255)


def test_a_wide_picture_is_fitted_and_centred():
    page = pictures.grid([plain(RED, width=20, height=10)], 1, cell=40)
    assert page.getpixel((32, 32)) == RED
    assert page.getpixel((32, 14)) == (255, 255, 255)


def test_captions_are_written_below_and_wrapped():
    bare = pictures.grid([plain((255, 255, 255), 64, 64)], 1, cell=64)
    short = pictures.grid([plain((255, 255, 255), 64, 64)], 1, ["cat"], cell=64)
    long = pictures.grid([plain((255, 255, 255), 64, 64)], 1, ["a cat " * 20], cell=64)
    assert ink_rows(bare).size == 0
    assert ink_rows(short).min() > 12 + 64
    assert bare.height < short.height < long.height
    ink = np.asarray(long.convert("L")) < 128
    assert not ink[:, :8].any()
    assert not ink[:, -8:].any()


def test_one_long_word_stays_in_its_column():
    page = np.asarray(pictures.grid([plain((255, 255, 255))] * 2, 2, ["W" * 80, ""], cell=64).convert("L")) < 128
    assert page.any()
    assert not page[:, 12 + 64 + 6 :].any()


def test_a_title_is_written_above():
    page = pictures.grid([plain((255, 255, 255))], 1, cell=64, title="vae-64")
    assert ink_rows(page).size > 0
    assert ink_rows(page).max() < page.height - 64


def test_a_strip_has_a_heading_under_each_column():
    table = pictures.strip([[plain(RED)] * 3, [plain(BLUE)] * 3], ["1", "2", "3"], cell=30)
    assert table.width == 12 + 3 * 42
    assert table.getpixel((27, 27)) == RED
    assert table.getpixel((27, 12 + 42 + 15)) == BLUE
    assert table.height > 2 * 42 + 12


def test_an_animation_ends_with_a_rest(tmp_path: Path):
    frames = [plain((shade,) * 3) for shade in (0, 80, 160, 240)]
    pictures.gif(frames, tmp_path / "a.gif", seconds=1.0, hold=2.0)
    with Image.open(tmp_path / "a.gif") as film:
        assert film.info["loop"] == 0
        durations, shades = [], []
        for frame in range(film.n_frames):
            film.seek(frame)
            durations.append(film.info["duration"])
            shades.append(film.convert("L").getpixel((4, 4)))
    assert durations == [250, 250, 250, 2250]
    assert shades == [0, 80, 160, 240]


def test_equal_ids_have_equal_colours():
    ids = np.array([[3, 4], [4, 3]])
    shown = np.asarray(pictures.token_map(ids, size=8))
    assert (shown[0, 0] == shown[7, 7]).all()
    assert (shown[0, 7] == shown[7, 0]).all()
    assert (shown[0, 0] != shown[0, 7]).any()
    many = np.asarray(pictures.token_map(np.arange(64).reshape(8, 8), size=8)).reshape(-1, 3)
    assert len(np.unique(many, axis=0)) == 64


@pytest.mark.parametrize("channels", [1, 2, 8])
def test_latents_are_shown_by_where_they_vary(channels: int):
    latents = np.zeros((4, 6, channels), np.float32)
    latents[:, 3:, 0] = 5.0
    shown = np.asarray(pictures.token_map(latents, size=60)).astype(int)
    assert shown.shape == (40, 60, 3)
    assert abs(shown[5, 5] - shown[5, 55]).max() > 100
    assert abs(shown[5, 5] - shown[35, 25]).max() == 0


def test_constant_latents_are_grey():
    assert np.unique(np.asarray(pictures.token_map(np.ones((2, 2, 4)), size=4))).tolist() == [128]


@pytest.mark.parametrize(("count", "most", "wanted"), [(3, 5, [0, 1, 2]), (9, 3, [0, 4, 8]), (5, 1, [0]), (0, 4, [])])
def test_a_few_keep_the_first_and_the_last(count, most, wanted):
    assert pictures.few(count, most) == wanted


def test_what_cannot_be_shown_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="0 pictures"):
        pictures.grid([], 2)
    with pytest.raises(InputError, match="1 pictures cannot bear 2 captions"):
        pictures.grid([plain(RED)], 2, ["a", "b"])
    with pytest.raises(InputError, match="2 headings"):
        pictures.strip([[plain(RED)]], ["1", "2"])
    with pytest.raises(InputError, match="at least one frame"):
        pictures.gif([], tmp_path / "a.gif")
    with pytest.raises(InputError, match="shape"):
        pictures.token_map(np.zeros(3))


def test_what_cannot_be_written_is_refused(tmp_path: Path):
    image = Image.fromarray(plain(RED))
    with pytest.raises(InputError, match=r"end it with \.png"):
        pictures.save(image, tmp_path / "picture.cat")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        pictures.save(image, tmp_path / "file" / "picture.png")
