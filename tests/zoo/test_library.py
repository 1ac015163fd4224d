"""Saved models that cannot be used: one clear error each, and nothing half-written."""

from __future__ import annotations

import json
import resource
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

pytestmark = pytest.mark.timeout(300)  # the first test of a session trains what it needs

VAE = "tokenizers/vae"


@pytest.fixture
def model(trained, tmp_path: Path) -> Path:
    """A copy of the tiny VAE's folder."""
    return Path(shutil.copytree(trained(VAE).folder, tmp_path / "model"))


def rewrite(model: Path, **changes: object) -> None:
    card = json.loads((model / "recipe.json").read_text())
    (model / "recipe.json").write_text(json.dumps({**card, **changes}))


def reweigh(model: Path, tensors: dict[str, torch.Tensor]) -> None:
    from limner.train.checkpoint import file_hash

    save_file(tensors, model / "weights.safetensors")
    rewrite(model, weights=file_hash(model / "weights.safetensors"))


def refused(model: Path, sentence: str) -> None:
    from limner.errors import CheckpointError
    from limner.store.folder import load

    with pytest.raises(CheckpointError, match=sentence) as caught:
        load(model)
    assert str(model) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_models_are_found_by_name_and_by_folder(trained, weights, monkeypatch, tmp_path):
    from limner.store.files import locate, shipped_models

    zoo = trained(VAE)
    assert locate("vae-64") == locate(zoo.folder) == weights / "vae-64"
    (tmp_path / "run").mkdir()
    shutil.copytree(zoo.folder, tmp_path / "run" / "model")
    assert locate(tmp_path / "run") == tmp_path / "run" / "model"
    shutil.copytree(zoo.folder, tmp_path / "first" / "vae-64")
    monkeypatch.setenv("LIMNER_WEIGHTS", f"{tmp_path / 'first'}:{weights}")
    assert shipped_models()["vae-64"] == tmp_path / "first" / "vae-64"
    shutil.copytree(zoo.folder, tmp_path / "work" / "vae-64")
    monkeypatch.chdir(tmp_path / "work")
    assert locate("vae-64") == tmp_path / "first" / "vae-64", "what ships is not shadowed by where one works"
    assert locate("./vae-64") == locate(Path("vae-64")) == Path("vae-64")


def test_an_unknown_name_brings_the_close_ones(shipped, tmp_path):
    from limner.errors import InputError
    from limner.store.folder import load

    shipped(VAE)
    with pytest.raises(InputError, match=r"there is no model 'vae-46': choose .*vae-64"):
        load("vae-46")
    with pytest.raises(InputError, match="holds no recipe.json: give the folder of a trained run"):
        load(tmp_path)


def test_the_hash_of_weights_is_that_of_the_file_there_now(model):
    from limner.store.files import weights_hash

    before = weights_hash(model)
    tensors = load_file(model / "weights.safetensors")
    reweigh(model, {**tensors, "quantizer.scale.mean": tensors["quantizer.scale.mean"] + 1})
    assert weights_hash(model) != before


def test_missing_and_unexpected_weights_are_named(model):
    tensors = load_file(model / "weights.safetensors")
    fewer = {name: value for name, value in tensors.items() if not name.startswith("quantizer")}
    reweigh(model, fewer)
    refused(model, r"lacks quantizer\.scale\.mean, quantizer\.scale\.\w+: it was saved")
    reweigh(model, {**tensors, "extra.weight": torch.zeros(2)})
    refused(model, "has unknown extra.weight: it was saved by other code or other knobs")


def test_wrong_shapes_are_named(model):
    reweigh(model, {**load_file(model / "weights.safetensors"), "quantizer.scale.mean": torch.zeros(7)})
    refused(model, r"quantizer.scale.mean is \[7\] and not \[4\]")


@pytest.mark.parametrize("harm", ["cut short", "empty", "missing", "one byte changed", "no tensors"])
def test_damaged_weights_are_refused(model, harm):
    file = model / "weights.safetensors"
    whole = file.read_bytes()
    if harm == "missing":
        file.unlink()
    elif harm == "one byte changed":
        file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    else:
        file.write_bytes({"cut short": whole[: len(whole) // 2], "empty": b"", "no tensors": b"\xff" * 64}[harm])
    refused(model, "SHA-256 differs" if harm == "one byte changed" else "weights.safetensors cannot be read")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '"a"', "{}", '{"recipe": "tokenizers/vae"}', "\ud800", "[" * 9999]
)
def test_a_damaged_card_is_refused(model, text):
    (model / "recipe.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    refused(model, "recipe.json cannot be read .*: copy or save the model again")
    (model / "recipe.json").write_text(json.dumps({"recipe": VAE, "knobs": 5}))
    refused(model, "recipe.json cannot be read")


@pytest.mark.parametrize(
    "path",
    [
        "../x/y",
        "os/path",
        "tokenizers",
        "tokenizers/nothing",
        "tokenizers/worlds",
        "tokenizers/__init__",
        "tokenizers/vae/x",
        "tokenizers.vae",
        "/etc/passwd",
        "",
        "official/mar",
    ],
)
def test_a_hostile_recipe_is_not_imported(model, path, command_line):
    rewrite(model, recipe=path)
    refused(model, "is no recipe of this limner")
    outcome = command_line("evaluate", model)
    assert outcome.code == 2
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize(
    ("knobs", "sentence"),
    [
        ({"colour": 3}, "sets colour, which limner.recipes.tokenizers.vae does not know"),
        ({"size": "32"}, "sets size to '32', which cannot be"),
        ({"size": True}, "sets size to True"),
        ({"kl": None}, "sets kl to None"),
        ({"widths": [8, "8", 8]}, "sets widths to "),
        ({"precision": "fp8"}, "sets precision to 'fp8'"),
        ({"data": 3}, "sets data to 3"),
        ({"batch": 0}, "cannot be used: --batch is 0"),
    ],
)
def test_knobs_that_cannot_be_are_refused(model, knobs, sentence):
    card = json.loads((model / "recipe.json").read_text())
    rewrite(model, knobs={**card["knobs"], **knobs})
    refused(model, sentence)


def test_knobs_come_back_as_they_were(trained, tmp_path):
    import dataclasses

    from limner.store.files import read_card
    from limner.store.folder import save
    from limner.store.knobs import parse_knobs

    zoo = trained(VAE)
    knobs = dataclasses.replace(zoo.knobs, data=Path(tmp_path.name), lr=1.0)
    folder = save(zoo.run.average.model, tmp_path / "saved", recipe=VAE, knobs=knobs, facts={})
    assert parse_knobs(zoo.recipe.knobs, read_card(folder)["knobs"], folder) == dataclasses.replace(
        knobs, out=None, threads=0
    )


def test_a_damaged_vocabulary_is_refused(trained, tmp_path):
    folder = Path(shutil.copytree(trained("generators/mar").folder, tmp_path / "mar"))
    tensors = load_file(folder / "weights.safetensors")
    reweigh(folder, {**tensors, "subwords._extra_state": torch.zeros(9, dtype=torch.uint8)})
    from limner.errors import CheckpointError
    from limner.store.folder import load

    with pytest.raises(CheckpointError, match="the vocabulary of a saved model is damaged"):
        load(folder)


def test_a_save_that_fails_leaves_the_old_model(trained, model, monkeypatch):
    from limner.errors import InputError
    from limner.store.folder import save

    zoo = trained(VAE)
    before = {file.name: file.read_bytes() for file in model.iterdir()}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, limits[1]))  # as a full disk does
    try:
        with pytest.raises(InputError, match="cannot be written"):
            save(zoo.run.average.model, model, recipe=VAE, knobs=zoo.knobs, facts={"images": 99})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {file.name: file.read_bytes() for file in model.iterdir() if not file.name.startswith(".")} == before
    save(zoo.run.average.model, model, recipe=VAE, knobs=zoo.knobs, facts={"images": 99})
    assert sorted(file.name for file in model.iterdir()) == ["recipe.json", "weights.safetensors"]
    assert json.loads((model / "recipe.json").read_text())["images"] == 99


def test_a_model_cannot_be_saved_beneath_a_file(trained, tmp_path):
    from limner.errors import InputError
    from limner.store.folder import save

    zoo = trained(VAE)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        save(zoo.run.average.model, tmp_path / "file" / "model", recipe=VAE, knobs=zoo.knobs, facts={})
