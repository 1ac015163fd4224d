"""Files as authors publish them: recognised, filled and accounted for key by key, or refused in one sentence."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.parity.goldens import TESTS, Golden

import limner
from limner.catalogue.listing import read_systems
from limner.errors import CheckpointError, InputError
from limner.nn.tensor_files import read_tensors
from limner.store.official.mar import LATENT_SCALE, TOKENIZER_NAMES
from limner.store.release import Release, official_name
from limner.store.released import load_released, releases
from limner.tokenizers.kl import KlAutoencoder

torch.manual_seed(0)
MODEL = KlAutoencoder(size=32, width=32, multipliers=(1, 2), channels=4, attention=(1,), scale=LATENT_SCALE).eval()
PICTURES = torch.rand(2, 3, 32, 32) * 2 - 1


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    """A small autoencoder under the authors' names, with the discriminator that their training leaves behind."""
    own = {official_name(name, TOKENIZER_NAMES): value.detach() for name, value in MODEL.named_parameters()}
    return {**own, "loss.discriminator.weight": torch.ones(2)}


def saved(content: Any, path: Path) -> Path:
    if path.suffix == ".safetensors":
        save_file(content, path)
    else:
        torch.save(content, path)
    return path


def works(model: Any) -> None:
    with torch.no_grad():
        assert torch.equal(model.encoder(PICTURES), MODEL.encoder(PICTURES))


@pytest.mark.parametrize("wrap", [lambda state: state, lambda state: {"epoch": 3, "model": state}])
@pytest.mark.parametrize("name", ["kl16.pth", "kl16.pt", "kl16.bin", "kl16.ckpt"])
def test_a_published_file_is_loaded(tmp_path: Path, state: dict, name: str, wrap: Any) -> None:
    works(limner.load(saved(wrap(state), tmp_path / name)))


def test_averaged_weights_come_before_those_last_trained(tmp_path: Path, state: dict) -> None:
    zeros = {key: torch.zeros_like(value) for key, value in state.items()}
    works(limner.load(saved({"model": zeros, "model_ema": state}, tmp_path / "both.pth")))


def test_every_key_is_accounted_for(tmp_path: Path, state: dict) -> None:
    released = load_released(saved(state, tmp_path / "kl16.safetensors"))
    assert (released.release.system, released.release.kind) == ("mar", "tokenizer")
    assert released.report.skipped == ("loss.discriminator.weight",)
    assert len(released.report.loaded) == len(state) - 1
    assert not released.model.training


def test_signatures_tell_releases_apart(state: dict) -> None:
    assert [release.kind for release in releases() if release.fits(state)] == ["tokenizer"]
    star = Release("x", "y", ("blocks.*.weight",), lambda state: torch.nn.Identity(), ())
    assert star.fits({"blocks.3.weight": torch.ones(1)})
    assert not star.fits({"blockss.3.weight": torch.ones(1)})


def test_releases_are_of_systems_in_the_catalogue() -> None:
    """But for those that only others build on: LlamaGen (NAR), RAR (xAR's baseline) and MaskGIT's tokenizer (TiTok)."""
    named = {release.system for release in releases()}
    assert named - {system.id for system in read_systems()} == {"llamagen", "rar", "maskgit-vqgan"}


def test_wrong_missing_and_unknown_weights_are_named(tmp_path: Path, state: dict) -> None:
    broken = {**state, "decoder.surprise": torch.ones(1)}
    del broken["decoder.mid.block_1.conv1.bias"]
    broken["decoder.conv_out.bias"] = torch.ones(5)
    with pytest.raises(CheckpointError) as caught:
        limner.load(saved(broken, tmp_path / "kl16.pth"))
    said = str(caught.value)
    assert "lacks decoder.mid.block_1.conv1.bias" in said
    assert "unknown decoder.surprise" in said
    assert "decoder.conv_out.bias is [5] and not [3]" in said


class Payload:
    def __reduce__(self) -> tuple:
        return Path.touch, (Path(Payload.target),)

    target = ""


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path, state: dict) -> None:
    Payload.target = str(tmp_path / "ran")
    path = saved({"model": state, "args": Payload()}, tmp_path / "kl16.pth")
    with pytest.raises(CheckpointError, match="could run code"):
        limner.load(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "cannot be read"),
        (b"not a checkpoint", "cannot be read|could run code"),
        (pickle.dumps([1, 2]), "cannot be read|could run code|holds a list"),
    ],
)
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "odd.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=sentence):
        read_tensors(path)


def test_what_is_no_known_release_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no release that limner knows: it reads .*mar generator, mar tokenizer"):
        limner.load(saved({"weight": torch.ones(2)}, tmp_path / "own.pth"))
    with pytest.raises(CheckpointError, match="holds no tensors"):
        limner.load(saved({"epoch": 1}, tmp_path / "empty.pth"))


def test_a_config_beside_the_weights_tells_heads(tmp_path: Path) -> None:
    golden = Golden(TESTS / "golden" / "mar_respaced-a.json")
    path = saved(golden.state(), tmp_path / "small.pth")
    with pytest.warns(UserWarning, match="1 of 64 channels are taken for granted"):
        assert limner.load(path).backbone.encoder_blocks[0].attn.heads == 1
    (tmp_path / "config.json").write_text(json.dumps(golden.config))
    model = limner.load(path)
    assert model.backbone.encoder_blocks[0].attn.heads == golden.config["mar"]["encoder_num_heads"]
    assert model.backbone.decoder_blocks[0].attn.heads == golden.config["mar"]["decoder_num_heads"]
    assert load_released(path).report.skipped == ("config.json",)
    again = limner.load(limner.save(model, tmp_path / "saved"))
    assert again.backbone.encoder_blocks[0].attn.heads == golden.config["mar"]["encoder_num_heads"]
    (tmp_path / "config.json").write_text(json.dumps({"encoder_num_heads": 7}))
    with pytest.raises(CheckpointError, match="7 heads do not divide that"):
        limner.load(path)


def test_converting_keeps_the_weights_and_loses_the_pickle(tmp_path: Path, state: dict, command_line: Any) -> None:
    source = saved({"model": state}, tmp_path / "kl16.pth")
    outcome = command_line("convert", source, tmp_path / "kl16", "--keys")
    assert outcome.code == 0
    assert "skipped  loss.discriminator.weight" in outcome.out
    assert "mar tokenizer" in outcome.out
    tensors = load_file(tmp_path / "kl16" / "weights.safetensors")
    assert tensors.keys() == state.keys() - {"loss.discriminator.weight"}
    works(limner.load(tmp_path / "kl16"))
    refused = command_line("evaluate", tmp_path / "kl16")
    assert refused.code == 2
    assert "the authors of mar released" in refused.err
    assert command_line("convert", tmp_path, tmp_path / "other").code == 2


def test_the_hub_is_read_from_its_cache(tmp_path: Path, state: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    snapshot = tmp_path / "models--LTH14--mar" / "snapshots" / "0123456789abcdef0123456789abcdef01234567"
    snapshot.mkdir(parents=True)
    (tmp_path / "models--LTH14--mar" / "refs").mkdir()
    (tmp_path / "models--LTH14--mar" / "refs" / "main").write_text(snapshot.name)
    saved({"model": state}, snapshot / "kl16.ckpt")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    works(limner.load("hf:LTH14/mar/kl16.ckpt"))
    with pytest.raises(InputError, match=r"hf:LTH14/mar/other.ckpt cannot be downloaded"):
        limner.load("hf:LTH14/mar/other.ckpt")
    with pytest.raises(InputError, match="is no address on the Hub"):
        limner.load("hf:mar")
