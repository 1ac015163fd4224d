"""The verbs that use a model, on tiny real ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

TINY = ["--size", 16, "--widths", 8, 8, "--encoder-depths", 1, 1, "--decoder-depths", 1, 1, "--channels", 4]
SHORT = ["--images", 32, "--batch", 8, "--warmup", 8, "--sample-every", 16, "--checkpoint-every", 16, "--threads", 1]


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """A folder of eight small pictures with captions."""
    folder = tmp_path / "album"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(8):
        pixels = np.kron(rng.integers(0, 255, (4, 4, 3), np.uint8), np.ones((6, 8, 1), np.uint8))
        Image.fromarray(pixels).save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text(f"pattern {number}")
    return folder


@pytest.fixture
def tokenizers(tmp_path: Path) -> dict[str, str]:
    """Saved tokenizers with fresh weights, by the kind of their tokens."""
    from limner.store.folder import find_recipe, save

    shape = {"size": 16, "widths": (8, 8), "encoder_depths": (1, 1), "decoder_depths": (1, 1)}
    saved = {}
    for kind, path in {"latents": "tokenizers/vae", "ids": "tokenizers/vq_vae"}.items():
        recipe = find_recipe(path)
        knobs = recipe.knobs(**shape)
        saved[kind] = str(save(recipe.build(knobs), tmp_path / kind, recipe=path, knobs=knobs, facts={}))
    return saved


@pytest.mark.parametrize("kind", ["latents", "ids"])
def test_tokens_takes_pictures_apart(command_line, album, tokenizers, tmp_path, kind):
    import limner

    page = tmp_path / "page.png"
    files = [album / "0.png", album / "1.png"]
    outcome = command_line("tokens", *files, "--model", tokenizers[kind], "-o", page, "--json")
    assert outcome.code == 0, outcome.err
    said = json.loads(outcome.out)
    assert (said["model"], said["file"]) == (tokenizers[kind], str(page))
    assert [picture["image"] for picture in said["pictures"]] == [str(file) for file in files]
    tokens = np.asarray(said["pictures"][0][kind])
    model = limner.load(tokenizers[kind])
    if kind == "ids":
        assert tokens.shape == (4, 4)
        assert 2 ** (said["pictures"][0]["bits"] / 16) >= model.quantizer.entries
    else:
        assert tokens.shape == (4, 4, model.quantizer.channels)
        assert said["pictures"][0]["bits"] == 16 * tokens.size
    assert 0 < said["pictures"][0]["psnr"] < 60
    with Image.open(page) as written:
        assert written.width == 3 * 192 + 4 * 12
    spoken = command_line("tokens", files[0], "--model", tokenizers[kind], "-o", page)
    assert f" {kind}, {said['pictures'][0]['bits']:,} bits, " in spoken.out


def test_the_tokens_reported_are_those_of_the_picture(album, tokenizers):
    import limner
    from limner.cli.tokens import tokenize_sources
    from limner.data.images import fit, read_image
    from limner.nn.pixels import to_tensor

    model = limner.load(tokenizers["latents"])
    image = fit(read_image(album / "3.png"), 16)
    part = tokenize_sources(model, [image])[0]
    tokens = model.encode(to_tensor([image]))[0]
    assert (part.tokens[1, 2] == tokens[1 * 4 + 2].numpy()).all()
    assert (part.original == image).all()
    assert part._replace(reconstruction=image).psnr == float("inf")
    assert abs(part._replace(reconstruction=np.zeros_like(image), original=np.full_like(image, 255)).psnr) < 1e-9


def test_a_tokenizer_does_not_draw(command_line, tokenizers):
    outcome = command_line("draw", "a cat", "--model", tokenizers["ids"])
    assert outcome.code == 2
    assert "draws none" in outcome.err


def test_train_makes_a_model_and_goes_on(command_line, album, tmp_path):
    import limner

    run = tmp_path / "run"
    arguments = ["train", "vae", "--data", album, "--out", run, *TINY]
    outcome = command_line(*arguments, *SHORT)
    assert outcome.code == 0, outcome.err
    assert "trained on 32 images" in outcome.out
    model = limner.load(run)
    assert (model.size, model.layout.grids) == (16, ((4, 4),))
    card = json.loads((run / "model" / "recipe.json").read_text())
    assert (card["recipe"], card["images"], card["knobs"]["batch"]) == ("tokenizers/vae", 32, 8)
    further = command_line(*arguments, *SHORT, "--images", 48)
    assert "trained on 48 images" in further.out
    other = command_line(*arguments, *SHORT, "--weight-decay", 0.5)
    assert other.code == 2
    assert "--weight-decay" in other.err


def test_the_knobs_of_a_recipe_are_explained(command_line):
    outcome = command_line("train", "vae", "--help")
    assert outcome.code == 0
    assert "usage: limner train tokenizers/vae" in outcome.out
    assert "Examples:\n  limner train tokenizers/vae --out runs/vae" in outcome.out
    assert "--learning-rate" in outcome.out or "--lr" in outcome.out
