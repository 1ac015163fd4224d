"""Checkpoints whose records were forged, emptied or exchanged: the sound older one is used, and that is said."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.train import tiny
from torch import Tensor, nn

from limner.errors import CheckpointError
from limner.train import checkpoint, loop
from limner.train.run import Run
from limner.train.task import Task

Harm = Callable[[Path], None]


def task() -> Task[nn.Module, Tensor]:
    """Learns to repeat its input."""
    torch.manual_seed(0)
    return Task(
        nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)),
        lambda start, size: torch.randn(size, 4, generator=torch.Generator().manual_seed(start)),
        lambda model, batch, rng: ((model(batch) - batch).square().mean(), {}),
    )


def train(directory: Path, images: int = 48) -> Run:
    settings = tiny.settings(images=images, precision="fp32", schedule="constant")
    return loop.train(task(), settings, directory, bar=False)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("records") / "run"
    train(directory, 32)
    return directory


def writes(name: str, text: str | bytes) -> Harm:
    return lambda folder: (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())  # type: ignore[func-returns-value]


def rehashed(folder: Path) -> None:
    """The manifest names what is there: nothing but the content gives the forgery away."""
    manifest = json.loads((folder / "manifest.json").read_text())
    there = [path for path in folder.iterdir() if path.name != "manifest.json"]
    manifest["files"] = {path.name: checkpoint.file_hash(path) for path in there}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def edits(name: str, **values: Any) -> Harm:
    """Other values in a JSON file; None takes an entry out."""

    def harm(folder: Path) -> None:
        content = {**json.loads((folder / name).read_text()), **values}
        (folder / name).write_text(json.dumps({key: value for key, value in content.items() if value is not None}))
        if name != "manifest.json":
            rehashed(folder)

    return harm


def tensors(name: str, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> Harm:
    def harm(folder: Path) -> None:
        save_file(change(load_file(folder / name)), folder / name)
        rehashed(folder)

    return harm


def without(name: str) -> Harm:
    def harm(folder: Path) -> None:
        (folder / name).unlink()
        rehashed(folder)

    return harm


def listed(change: Callable[[dict[str, Any]], Any]) -> Harm:
    """Another ``files`` in the manifest."""

    def harm(folder: Path) -> None:
        manifest = json.loads((folder / "manifest.json").read_text())
        manifest["files"] = change(manifest["files"])
        (folder / "manifest.json").write_text(json.dumps(manifest))

    return harm


def first(content: dict[str, Tensor], change: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
    key = next(key for key in sorted(content) if content[key].is_floating_point())
    return {**content, key: change(content[key])}


def forgeries() -> Iterator[Harm]:
    for text in ("", "{", "null", "[]", "{}", "3", '"x"', "[" * 100_000, '{"images": 32}', '{"files": {}}', "NaN"):
        yield writes("manifest.json", text)
    yield writes("manifest.json", b"\xff\xfe\x00")
    for images in (-1, True, 32.0, "32", [], 10**30, 33, 16_000):
        yield edits("manifest.json", images=images)
    for value in ([], {}, "x", 3, ["state.json"], {"state.json": 3}, {"state.json": None}, {"/etc/passwd": "0"}):
        yield listed(lambda files, value=value: value)
    for name in ("state.json", "model.safetensors", "average.safetensors", "optimizer.safetensors"):
        yield listed(lambda files, name=name: {key: value for key, value in files.items() if key != name})
        yield listed(lambda files, name=name: {**files, name: "0" * 64})
        yield listed(lambda files, name=name: {**files, f"../{name}": files[name]})
        yield without(name)
        yield writes(name, "")
        yield lambda folder, name=name: (folder / name).unlink()
    for text in ("null", "[]", "{}", "3", "{", "[" * 100_000):
        yield lambda folder, text=text: (writes("state.json", text)(folder), rehashed(folder))[0]
    for values in ({"images": 33}, {"images": None}, {"steps": "x"}, {"steps": -1}, {"skipped": None}, {"steps": 1.5}):
        yield edits("state.json", **values)
    for name in ("model.safetensors", "average.safetensors"):
        yield tensors(name, lambda content: {})
        yield tensors(name, lambda content: {**content, "more": torch.zeros(1)})
        yield tensors(name, lambda content: dict(list(content.items())[1:]))
        for change in (
            lambda x: x * float("nan"),
            lambda x: x / 0,
            lambda x: x[:1].clone(),
            lambda x: x.long(),
            lambda x: x.to(torch.complex64),
            lambda x: x[None].clone(),
        ):
            yield tensors(name, lambda content, change=change: first(content, change))
    yield tensors("optimizer.safetensors", lambda content: {"x/exp_avg": torch.zeros(1)})
    yield tensors("optimizer.safetensors", lambda content: {"x": torch.zeros(1)})
    yield tensors("optimizer.safetensors", lambda content: first(content, lambda x: x[:1].clone()))
    yield tensors("optimizer.safetensors", lambda content: first(content, lambda x: x * float("nan")))


def test_a_forged_checkpoint_gives_way_to_the_one_before(
    trained: Path, tmp_path: Path, record: Callable[[str, int, int], None]
) -> None:
    held, every = 0, list(forgeries())
    for number, harm in enumerate(every):
        directory = tmp_path / str(number)
        shutil.copytree(trained, directory)
        harm(directory / "images-000000000032")
        run = Run(task(), tiny.settings(images=48, precision="fp32", schedule="constant"), directory)
        notes = loop.resume(run)
        said = notes[0].startswith("images-000000000032: ") and notes[0].endswith("; using the checkpoint before it")
        assert said, f"{number}: {notes}"
        assert run.images == 16, number
        held += 1
        shutil.rmtree(directory)
    record("checkpoints: a forged one is passed over and named", len(every), held)


def test_the_run_goes_on_from_it_and_tidies_up(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory, whole = tmp_path / "run", tmp_path / "whole"
    shutil.copytree(trained, directory)
    (directory / "images-000000000032/manifest.json").write_text("{}")
    train(directory)
    train(whole)
    assert "using the checkpoint before it" in " ".join(capsys.readouterr().err.split())
    ends = [json.loads((one / "images-000000000048/manifest.json").read_text()) for one in (directory, whole)]
    assert ends[0] == ends[1]
    assert [folder.name for folder in checkpoint.complete(directory)] == ["images-000000000032", "images-000000000048"]


def test_exchanged_folders_go_on_from_the_newer(trained: Path, tmp_path: Path) -> None:
    """The older one was loaded as the newer."""
    directory = tmp_path / "run"
    shutil.copytree(trained, directory)
    older, newer = (directory / f"images-{images:012d}" for images in (16, 32))
    older.rename(directory / "x")
    newer.rename(older)
    (directory / "x").rename(newer)
    run = Run(task(), tiny.settings(images=48, precision="fp32", schedule="constant"), directory)
    loop.resume(run)
    assert run.images == run.steps * 4 == 32
    train(directory)
    train(tmp_path / "whole")
    ends = [checkpoint.load(checkpoint.complete(one)[-1])[0]["model"] for one in (directory, tmp_path / "whole")]
    assert all(torch.equal(ends[0][name], value) for name, value in ends[1].items())


def test_where_none_is_of_this_model_nothing_is_overwritten(trained: Path, tmp_path: Path) -> None:
    directory = tmp_path / "run"
    shutil.copytree(trained, directory)
    before = sorted(path.name for path in directory.iterdir())
    other = Task(nn.Linear(4, 4), task().batch, task().loss)
    with pytest.raises(CheckpointError, match="is not this model's"):
        loop.train(other, tiny.settings(images=48, precision="fp32", schedule="constant"), directory, bar=False)
    assert sorted(path.name for path in directory.iterdir()) == before
