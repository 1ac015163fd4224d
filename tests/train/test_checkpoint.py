"""Checkpoints: whatever moment a save is cut at, the newest finished one stays."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch

from limner.errors import CheckpointError
from limner.train import checkpoint


def written(run: Path, images: int) -> Path:
    tensors = {"model": {"weight": torch.full((4,), float(images))}, "optimizer": {"weight/step": torch.tensor(1.0)}}
    return checkpoint.save(run, images, tensors, {"images": images})


def names(run: Path) -> list[str]:
    return [folder.name for folder in checkpoint.complete(run)]


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    folder = written(tmp_path / "run", 7)
    tensors, state = checkpoint.load(folder)
    assert state == {"images": 7}
    assert tensors["model"]["weight"].tolist() == [7.0] * 4
    assert tensors["optimizer"]["weight/step"].shape == ()


def test_the_newest_two_are_kept(tmp_path: Path) -> None:
    for images in (5, 20, 100):
        written(tmp_path, images)
    assert names(tmp_path) == ["images-000000000020", "images-000000000100"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names(tmp_path)


class Cut(BaseException):
    """Stands for the kill."""


@pytest.mark.parametrize("call", ["fsync", "rename", "rmtree"])
@pytest.mark.parametrize("count", range(7))
def test_a_cut_save_loses_no_finished_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, count: int
) -> None:
    """The save of checkpoint 3 is cut at its ``count``-th call of what makes it lasting; 2 or 3 is whole, and the next
    save tidies up."""
    for images in (1, 2):
        written(tmp_path, images)
    room = {"fsync": os, "rename": os, "rmtree": checkpoint.shutil}[call]
    real, calls = getattr(room, call), []

    def cutting(*arguments: object, **options: object) -> object:
        calls.append(arguments)
        if len(calls) > count:
            raise Cut
        return real(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(room, call, cutting)
        try:
            written(tmp_path, 3)
        except Cut:
            cut = True
        else:
            cut = False
    if not cut:
        assert names(tmp_path) == ["images-000000000002", "images-000000000003"]
        return
    folder, notes = checkpoint.newest(tmp_path)
    assert folder is not None
    images = checkpoint.load(folder)[1]["images"]
    assert images in (2, 3)
    assert not notes
    written(tmp_path, 4)
    assert names(tmp_path)[-1] == "images-000000000004"
    assert not list(tmp_path.glob(".writing-*"))


def test_a_damaged_checkpoint_is_written_again(tmp_path: Path) -> None:
    written(tmp_path, 1)
    folder = written(tmp_path, 2)
    (folder / "state.json").write_text("{}")
    assert checkpoint.damage(folder) == "state.json has changed since it was written"
    assert written(tmp_path, 2) == folder
    assert checkpoint.damage(folder) is None


def test_checkpoints_beyond_the_one_that_was_resumed_make_room(tmp_path: Path) -> None:
    """After falling back from two damaged ones, a save at an earlier image must not be the one that is deleted."""
    for images in (1, 8, 9):
        written(tmp_path, images)
    for damaged in checkpoint.complete(tmp_path):
        (damaged / "state.json").write_text("{}")
    assert checkpoint.newest(tmp_path)[0] is None
    written(tmp_path, 2)
    assert checkpoint.newest(tmp_path)[0] == tmp_path / "images-000000000002"
    assert names(tmp_path) == ["images-000000000002"]


@pytest.mark.parametrize(
    ("harm", "problem"),
    [
        (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors is missing"),
        (lambda folder: (folder / "manifest.json").write_text("{"), "manifest.json is unreadable"),
        (lambda folder: (folder / "manifest.json").write_text("[]"), "manifest.json is unreadable"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b""), "model.safetensors has changed"),
    ],
)
def test_damage_is_named(tmp_path: Path, harm, problem: str) -> None:
    before, folder = written(tmp_path, 1), written(tmp_path, 2)
    harm(folder)
    newest, notes = checkpoint.newest(tmp_path)
    assert newest == before
    assert len(notes) == 1
    assert problem in notes[0]
    with pytest.raises(CheckpointError, match="delete the folder to fall back"):
        checkpoint.load(folder)


def test_an_unfinished_save_is_passed_over(tmp_path: Path) -> None:
    folder = written(tmp_path, 1)
    aside = tmp_path / "images-000000000002"
    aside.mkdir()
    (aside / "model.safetensors").write_bytes(b"half")
    assert checkpoint.newest(tmp_path) == (folder, [])


def test_no_checkpoint_is_no_error(tmp_path: Path) -> None:
    assert checkpoint.newest(tmp_path / "none") == (None, [])


def test_the_manifest_names_every_file(tmp_path: Path) -> None:
    folder = written(tmp_path, 3)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["images"] == 3
    assert set(manifest["files"]) | {"manifest.json"} == {path.name for path in folder.iterdir()}
    assert all(checkpoint.file_hash(folder / name) == value for name, value in manifest["files"].items())
