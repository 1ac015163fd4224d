"""What was loaded can be saved again, given away and loaded as it was."""

from __future__ import annotations

import copy
import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.zoo.test_released import PICTURES, saved, state

import limner
from limner.errors import CheckpointError, InputError
from limner.store.official.llamagen import (
    TOKENIZER_NAMES,
    LlamaGenTokenizerSizes,
    counted_from_finest,
    official_tokenizer,
)
from limner.store.release import official_name

pytestmark = pytest.mark.timeout(300)  # the first test of a session trains what it needs
GIVEN = state  # the fixture of a small released autoencoder
FILES = {"README.md", "recipe.json", "weights.safetensors"}


def equal(first: torch.nn.Module, second: torch.nn.Module) -> bool:
    one, other = first.state_dict(), second.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("path", ["encoders/recogniser", "tokenizers/titok", "tokenizers/vq_vae", "encoders/siglip"])
def test_a_loaded_model_saves_itself(path: str, trained: Any, tmp_path: Path) -> None:
    model = limner.load(trained(path).folder)
    folder = limner.save(model, tmp_path / "mine")
    assert {file.name for file in folder.iterdir()} == FILES
    assert len({file.stat().st_mode for file in folder.iterdir()}) == 1  # who may read one may read all
    again = limner.load(folder)
    assert equal(model, again)
    card, before = (json.loads((at / "recipe.json").read_text()) for at in (folder, trained(path).folder))
    assert card == before
    page = (folder / "README.md").read_text()
    assert f'limner.load("{folder.name}")' in page
    assert str(tmp_path) not in page


def test_outputs_survive_and_a_copy_saves_its_own_weights(trained: Any, tmp_path: Path) -> None:
    model = limner.load(trained("tokenizers/vq_vae").folder)
    ids = model.encode(PICTURES)
    assert torch.equal(limner.load(limner.save(model, tmp_path / "same")).encode(PICTURES), ids)
    changed = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in changed.parameters():
            parameter.zero_()
    other = limner.load(limner.save(changed, tmp_path / "zero"))
    assert all(not parameter.any() for parameter in other.parameters())
    assert torch.equal(limner.load(limner.save(model, tmp_path / "same")).encode(PICTURES), ids)


def test_a_loaded_model_can_be_pickled(trained: Any, tmp_path: Path) -> None:
    model = pickle.loads(pickle.dumps(limner.load(trained("tokenizers/vae").folder)))
    assert equal(limner.load(limner.save(model, tmp_path / "mine")), model)


def test_a_generator_takes_its_own_tokenizer_along(trained: Any, tmp_path: Path, monkeypatch: Any) -> None:
    mine = Path(shutil.copytree(trained("generators/raster").folder, tmp_path / "mine"))
    tokenizer = Path(shutil.copytree(trained("tokenizers/vq_vae").folder, tmp_path / "runs" / "own"))
    card = json.loads((mine / "recipe.json").read_text())
    card["knobs"]["tokenizer"] = str(tokenizer)
    (mine / "recipe.json").write_text(json.dumps(card))
    first = limner.save(limner.load(mine), tmp_path / "first")
    shutil.rmtree(tmp_path / "runs")
    second = limner.save(limner.load(first), tmp_path / "second")
    shutil.rmtree(first)
    pictures = [limner.load(at).draw("a red heart", seed=3)[0] for at in (second, trained("generators/raster").folder)]
    assert pictures[0].tobytes() == pictures[1].tobytes()
    assert json.loads((second / "recipe.json").read_text())["knobs"]["tokenizer"] == tokenizer.name


def test_what_a_recipe_builds_saves_itself(trained: Any, tmp_path: Path) -> None:
    from limner.store.folder import build

    zoo = trained("tokenizers/vae")
    model = build("tokenizers/vae", zoo.knobs)
    again = limner.load(limner.save(model, tmp_path / "fresh"))
    for name, parameter in again.named_parameters():
        assert torch.equal(parameter, model.get_parameter(name).to(torch.bfloat16).float())


def test_a_module_without_an_origin_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a Linear that limner neither loaded nor built does not know its recipe"):
        limner.save(torch.nn.Linear(2, 2), tmp_path / "mine")
    assert not (tmp_path / "mine").exists()


def test_a_released_model_is_saved_as_it_is_now(tmp_path: Path, state: dict) -> None:
    model = limner.load(saved(state, tmp_path / "kl16.safetensors"))
    with torch.no_grad():
        next(iter(model.parameters())).add_(1)  # fine-tuned
    folder = limner.save(model, tmp_path / "tuned")
    again = limner.load(folder)
    assert equal(model, again)
    assert torch.equal(again.encoder(PICTURES), model.encoder(PICTURES))
    assert equal(limner.load(limner.save(again, tmp_path / "again")), model)


def test_a_release_whose_tensors_lie_otherwise(tmp_path: Path) -> None:
    """LlamaGen's decoder counts its levels from the other end: what is saved must not be turned round twice."""
    torch.manual_seed(0)
    tokenizer = official_tokenizer(
        LlamaGenTokenizerSizes(multipliers=(1, 2), width=32, hidden=32, entries=8, channels=4)
    )
    own = {official_name(name, TOKENIZER_NAMES): value.detach() for name, value in tokenizer.named_parameters()}
    model = limner.load(saved(counted_from_finest(own), tmp_path / "vq.pt"))
    again = limner.load(limner.save(model, tmp_path / "mine"))
    assert equal(model, again)
    assert all(torch.equal(again.get_parameter(name), value) for name, value in tokenizer.named_parameters())
    card = json.loads((tmp_path / "mine" / "recipe.json").read_text())
    card["release"]["signature"] = ["nothing"]
    (tmp_path / "mine" / "recipe.json").write_text(json.dumps(card))
    with pytest.raises(CheckpointError, match="of a release that this limner does not know"):
        limner.load(tmp_path / "mine")


def test_pushing_offline_is_refused_in_one_sentence(trained: Any, monkeypatch: Any) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    model = limner.load(trained("tokenizers/vae").folder)
    with pytest.raises(InputError, match="me/mine cannot be pushed to the Hub .*or save to a local folder"):
        limner.push_to_hub(model, "me/mine", token="none")
    with pytest.raises(InputError, match="'mine' is no repository on the Hub: write owner/name"):
        limner.push_to_hub(model, "mine")


def test_what_was_pushed_is_loaded_by_its_address(trained: Any, tmp_path: Path, monkeypatch: Any) -> None:
    """The folder that is pushed, where the Hub's cache would have it after a download."""
    from huggingface_hub import constants

    model = limner.load(trained("tokenizers/vae").folder)
    at = tmp_path / "models--me--mine"
    (at / "refs").mkdir(parents=True)
    (at / "refs" / "main").write_text("0123456789abcdef0123456789abcdef01234567")
    limner.save(model, at / "snapshots" / "0123456789abcdef0123456789abcdef01234567")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert equal(limner.load("hf:me/mine"), model)
