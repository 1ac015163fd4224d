"""Training destroys nothing of its user's, keeps what it reached, and publishes nothing unfinished."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import resource
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.train import tiny

from limner.errors import DivergedError, InputError
from limner.train import checkpoint, loop
from limner.train.interruption import exit_code
from limner.train.lock import locked
from limner.train.settings import Settings


def changed(at: int, act: Callable[[Any], None]) -> tiny.TokenizerTask:
    """The tiny task, with something that happens while the batch of an image is made."""
    task = tiny.task()

    def batch(start: int, size: int) -> torch.Tensor:
        if start == at:
            act(task.model)
        return task.batch(start, size)

    return replace(task, batch=batch)


def files(directory: Path) -> dict[str, str]:
    return json.loads((directory / f"images-{tiny.TOTAL:012d}/manifest.json").read_text())["files"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Hashes of what the training ends with if nothing happens."""
    directory = tmp_path_factory.mktemp("undisturbed")
    tiny.train(directory, precision="fp32")
    return files(directory)


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_weights_that_are_not_finite_push_out_no_checkpoint(tmp_path: Path, value: float) -> None:
    """They were saved at every checkpoint of the skipped steps, the last two kept."""

    def spoil(model: Any) -> None:
        with torch.no_grad():
            next(model.decoder.parameters()).fill_(value)

    with pytest.raises(DivergedError, match="lower --lr"):
        loop.train(changed(40, spoil), tiny.settings(checkpoint_every=4), tmp_path, bar=False)
    kept = [checkpoint.load(folder) for folder in checkpoint.complete(tmp_path)]
    assert [state["images"] for _, state in kept] == [36, 40]
    assert all(tensor.isfinite().all() for tensors, _ in kept for part in tensors.values() for tensor in part.values())


def test_a_learning_rate_beyond_all_bounds_ends_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(DivergedError):
        tiny.train(tmp_path, lr=1e38, warmup=0, checkpoint_every=4)
    assert checkpoint.newest(tmp_path)[0] is None


FOREIGN = ("images-anything/manifest.json", "images-2024/manifest.json", "images-/x.png", ".writing-mine/x.txt")
IN_THE_WAY = ("images-000000000016/holiday.png", ".writing-000000000016/x.txt", "images-000000000032/manifest.json")


def test_folders_of_others_are_never_deleted(tmp_path: Path) -> None:
    """``images-anything/`` was deleted as an old checkpoint if a manifest.json lay in it."""
    for name in (*FOREIGN, *IN_THE_WAY, "images-000000000032/photo.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f'{{"mine": "{name}"}}')
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/state.json").write_text("mine")
    (tmp_path / "images-000000000048").symlink_to(tmp_path / "elsewhere")
    tiny.train(tmp_path, precision="fp32")
    assert all((tmp_path / name).read_text() == f'{{"mine": "{name}"}}' for name in FOREIGN)
    texts = [path.read_text() for path in tmp_path.rglob("*.*") if path.is_file() and path.stat().st_size < 100]
    assert all(any(f'"{name}"' in text for text in texts) for name in IN_THE_WAY)
    assert (tmp_path / "elsewhere/state.json").read_text() == "mine"
    assert [folder.name for folder in checkpoint.complete(tmp_path)][-1] == f"images-{tiny.TOTAL:012d}"


BAD = {
    "lr": ("inf", "nan", "0", "-1"),
    "clip": ("inf", "nan", "0", "-1"),
    "muon": ("inf", "nan", "-1"),
    "weight_decay": ("inf", "nan", "-0.1"),
    "beta2": ("nan", "1", "-0.1"),
    "minutes": ("inf", "nan", "-1"),
    "warmup": ("-1",),
    "ema": ("-1",),
    "threads": ("-1",),
    "images": ("0",),
    "batch": ("-8",),
    "checkpoint_every": ("0",),
}


def test_numbers_without_meaning_are_refused_at_the_door(record: Callable[[str, int, int], None]) -> None:
    """``--lr inf`` and ``--clip nan`` ended with exit code 0 and a model of NaN."""
    given = [(name, value) for name, values in BAD.items() for value in values]
    whole = {"warmup", "ema", "threads", "images", "batch", "checkpoint_every"}
    held = 0
    for name, value in given:
        with pytest.raises(InputError, match=f"--{name.replace('_', '-')} is "):
            Settings(**{name: int(value) if name in whole else float(value)})
        held += 1
    record("knobs: numbers without meaning are refused at the door", len(given), held)


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_an_error_in_the_loop_keeps_what_was_reached(
    tmp_path: Path, undisturbed: dict[str, str], number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(model: Any) -> None:
        raise OSError(number, "a disk")

    with pytest.raises(OSError, match="a disk"):
        loop.train(changed(44, fail), tiny.settings(precision="fp32"), tmp_path, bar=False)
    assert checkpoint.complete(tmp_path)[-1].name == "images-000000000044"
    assert "saved at 44 images" in " ".join(capsys.readouterr().err.split())
    assert tiny.train(tmp_path, precision="fp32").images == tiny.TOTAL
    assert files(tmp_path) == undisturbed


def test_an_interrupt_inside_a_step_keeps_what_was_reached(tmp_path: Path, undisturbed: dict[str, str]) -> None:
    def interrupt(model: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        loop.train(changed(44, interrupt), tiny.settings(precision="fp32"), tmp_path, bar=False)
    tiny.train(tmp_path, precision="fp32")
    assert files(tmp_path) == undisturbed


@pytest.mark.parametrize("until", [60, 10**6])
def test_a_disk_that_is_full_ends_no_training_before_its_end(
    tmp_path: Path, undisturbed: dict[str, str], until: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """No file may grow from image 20 on, until some later one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    task = tiny.task()

    def batch(start: int, size: int) -> torch.Tensor:
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192 if 20 <= start < until else soft, hard))
        return task.batch(start, size)

    ends = contextlib.nullcontext() if until < tiny.TOTAL else pytest.raises(checkpoint.CheckpointError, match="space")
    try:
        with ends:
            loop.train(replace(task, batch=batch), tiny.settings(precision="fp32"), tmp_path, bar=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "cannot be written at 32 images" in " ".join(capsys.readouterr().err.split())
    assert not list(tmp_path.glob(".writing-*"))
    if until > tiny.TOTAL:
        assert [folder.name for folder in checkpoint.complete(tmp_path)] == ["images-000000000016"]
        tiny.train(tmp_path, precision="fp32")
    assert files(tmp_path) == undisturbed


def test_a_folder_has_one_run(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(InputError, match="another run trains in"):
        tiny.train(tmp_path)
    tiny.train(tmp_path, images=16)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129), (None, 75)]
)
def test_what_stopped_a_run_is_its_exit_code(tmp_path: Path, number: int | None, code: int) -> None:
    """Interrupted runs exited with 0, and a scheduler took them for done."""
    task = tiny.task() if number is None else changed(40, lambda model: os.kill(os.getpid(), number))
    minutes = 1e-9 if number is None else 0.0
    run = loop.train(task, tiny.settings(minutes=minutes), tmp_path, bar=False)
    assert run.images < tiny.TOTAL
    assert exit_code(run.stopped_by) == code


def test_the_command_line_exits_with_it(command_line: Any, tmp_path: Path) -> None:
    small = ["--size", 16, "--widths", 8, 8, "--encoder-depths", 1, 1, "--decoder-depths", 1, 1, "--threads", 1]
    arguments = ["train", "ae", "--out", tmp_path / "run", "--images", 16, "--batch", 8, *small]
    stopped = command_line(*arguments, "--minutes", "1e-9")
    assert (stopped.code, stopped.out.split(":")[0]) == (75, "stopped after 8 of 16 images")
    assert not (tmp_path / "run/model").exists()
    with locked(tmp_path / "run"):
        refused = command_line(*arguments)
    assert (refused.code, refused.out) == (2, "")
    assert command_line(*arguments).code == 0
    page = command_line("train", "--help").out
    assert "75 stopped by --minutes" in page
    assert "143 SIGTERM" in page
