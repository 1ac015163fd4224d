"""Counts, classes, seeds and strengths: of Python, numpy or torch alike, and refused where they are no such number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.zoo.test_released_drawing import llamagen_states

import limner
from limner.errors import InputError


@pytest.fixture(scope="module")
def drawer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A small LlamaGen as its authors would release it, which draws classes."""
    folder: Path = tmp_path_factory.mktemp("released")
    for name, state in zip(("g.pt", "t.pt"), llamagen_states(), strict=True):
        torch.save(state, folder / name)
    return limner.load(folder / "g.pt", tokenizer=folder / "t.pt", side=3)


@pytest.fixture(scope="module")
def captions() -> Any:
    return limner.load("raster-emoji-64")


CLASSES: list[tuple[Any, list[int]]] = [
    (np.int64(3), [3]),
    (torch.tensor(3), [3]),
    (np.array(3), [3]),
    (np.array([1, 2]), [1, 2]),
    (torch.tensor([1, 2]), [1, 2]),
    ([np.int32(1), torch.tensor(2)], [1, 2]),
    ((1, 2), [1, 2]),
    (range(1, 3), [1, 2]),
]


@pytest.mark.parametrize(("given", "meant"), CLASSES, ids=repr)
def test_classes_are_numbers_whoever_made_them(drawer: Any, given: Any, meant: list[int]) -> None:
    drawn = [picture.tobytes() for picture in drawer.draw(given, seed=np.int64(5), n=np.int8(1))]
    assert drawn == [picture.tobytes() for picture in drawer.draw(meant, seed=5)]


@pytest.mark.parametrize("given", ["3", 1.5, [1.0], None, [None], [], np.array([0.5]), [[1]], -2, 10**9], ids=repr)
def test_what_is_no_class_is_refused(drawer: Any, given: Any) -> None:
    with pytest.raises(InputError, match="class"):
        drawer.draw(classes=given)


WRONG: list[dict[str, Any]] = [
    *({"guidance": value} for value in (float("nan"), float("inf"), -1.0, "3", [1])),
    *({"temperature": value} for value in (float("nan"), np.float32("inf"), -0.1)),
    *({"top_p": value} for value in (0.0, 1.5, float("nan"))),
    *({"top_k": value} for value in (-1, 1.5, "3")),
    *({"steps": value} for value in (0, -1, 10**9, 2.5)),
    *({"n": value} for value in (0, -3, np.int64(0))),
]


@pytest.mark.parametrize("options", WRONG, ids=repr)
def test_what_cannot_be_drawn_with_is_refused(drawer: Any, captions: Any, options: dict[str, Any]) -> None:
    for draw in (lambda: captions.draw("a red heart", **options), lambda: drawer.draw(1, **options)):
        with pytest.raises(InputError, match=next(iter(options))):
            draw()


def test_numbers_of_numpy_draw_what_python_s_do(captions: Any) -> None:
    strengths = {"guidance": np.float32(2.0), "temperature": torch.tensor(1.0), "top_k": np.int64(50)}
    made = captions.draw("a red heart", n=torch.tensor(1), seed=np.uint8(3), **strengths)
    assert (
        made[0].tobytes() == captions.draw("a red heart", seed=3, guidance=2.0, temperature=1.0, top_k=50)[0].tobytes()
    )


TOKENS: dict[str, tuple[Any, str]] = {
    "beyond the codebook": (np.full((1, 64), 4096), "ids go from 4096 to 4096, but this tokenizer has 0 to 4095"),
    "below it": (np.full((1, 64), -1), "ids go from -1"),
    "floats": (np.zeros((1, 64)), r"\[1, 64\] of float64 are no tokens"),
    "one axis": (np.zeros(64, int), "are no tokens"),
    "words": ([["a"] * 64], "holds no tokens"),
    "rows of two lengths": ([[1], [1, 2]], "holds no tokens"),
    "too few": (np.zeros((1, 63), int), "63 tokens given"),
    "nothing": (None, "tokens"),
}


@pytest.mark.parametrize("what", [*TOKENS])
def test_what_are_no_tokens_is_refused(what: str) -> None:
    tokens, sentence = TOKENS[what]
    with pytest.raises(InputError, match=sentence):
        limner.load("vq-vae-64").decode(tokens)


def test_latents_must_be_finite_and_of_the_channels() -> None:
    model = limner.load("vae-64")
    channels, count = model.quantizer.channels, model.layout.length
    for tokens, sentence in (
        (np.full((1, count, channels), np.nan, np.float32), "not finite"),
        (np.zeros((1, count, channels + 1), np.float32), f"{channels + 1} channels"),
        (np.zeros((1, count, channels), int), "are no tokens"),
    ):
        with pytest.raises(InputError, match=sentence):
            model.decode(tokens)


def test_a_tokenizer_in_half_precision_encodes() -> None:
    picture = np.zeros((64, 64, 3), np.uint8)
    for name in ("vae-64", "vq-vae-64", "multiscale-64", "titok-64"):
        model = limner.load(name).to(torch.bfloat16)
        assert model.decode(model.encode(picture)).isfinite().all(), name
