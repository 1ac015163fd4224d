"""A training that is killed, stopped or damaged goes on as if it had not been: equal bytes at the end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.train import tiny

from limner.errors import CheckpointError
from limner.train import checkpoint, loop
from limner.train.run import Run


def hashes(directory: Path) -> dict[str, str]:
    """SHA-256 of weights, average, discriminator and optimizer at the end of a run."""
    folder = directory / f"images-{tiny.TOTAL:012d}"
    files = json.loads((folder / "manifest.json").read_text())["files"]
    assert {"model.safetensors", "average.safetensors", "optimizer.safetensors", "extra.safetensors"} <= files.keys()
    return files


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """How the training ends in each precision if nothing happens to it."""
    root = tmp_path_factory.mktemp("uninterrupted")
    ends = {}
    for precision in ("fp32", "bf16"):
        tiny.train(root / precision, precision=precision)
        ends[precision] = hashes(root / precision)
    assert ends["fp32"]["model.safetensors"] != ends["bf16"]["model.safetensors"]
    return ends


@pytest.mark.slow
@pytest.mark.timeout(400)  # on a machine that is busy with other things
def test_kill_9_changes_no_byte(uninterrupted: dict[str, dict[str, str]], tmp_path: Path) -> None:
    """The killed trainings live in another process, which kills its children at random moments."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.train.tiny", str(tmp_path)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    deaths = dict(line.split() for line in done.stdout.splitlines())
    for precision, end in uninterrupted.items():
        assert int(deaths[precision]) >= 2
        assert hashes(tmp_path / precision) == end


def interrupting(at: int, number: signal.Signals) -> tiny.TokenizerTask:
    """A task that sends a signal to its own process while it makes the batch of a certain image."""
    task = tiny.task()

    def batch(start: int, size: int) -> torch.Tensor:
        if start == at:
            os.kill(os.getpid(), number)
        return task.batch(start, size)

    return replace(task, batch=batch)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_stops(
    uninterrupted: dict[str, dict[str, str]], tmp_path: Path, number: signal.Signals
) -> None:
    task = interrupting(40, number)
    handlers = [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)]
    run = loop.train(task, tiny.settings(precision="fp32"), tmp_path, bar=False)
    assert run.images == 44
    assert checkpoint.complete(tmp_path)[-1].name == "images-000000000044"
    assert [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)] == handlers
    assert tiny.train(tmp_path, precision="fp32").images == tiny.TOTAL
    assert hashes(tmp_path) == uninterrupted["fp32"]


def test_a_time_limit_saves_and_stops(tmp_path: Path) -> None:
    run = tiny.train(tmp_path, minutes=1e-6)
    assert run.images == 4
    assert [folder.name for folder in checkpoint.complete(tmp_path)] == ["images-000000000004"]


def test_a_flipped_byte_falls_back_to_the_checkpoint_before(
    uninterrupted: dict[str, dict[str, str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny.train(tmp_path, precision="fp32", images=80)
    before, newest = checkpoint.complete(tmp_path)
    weights = newest / "optimizer.safetensors"
    damaged = bytearray(weights.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    weights.write_bytes(damaged)
    assert checkpoint.newest(tmp_path)[0] == before
    with pytest.raises(CheckpointError, match="optimizer.safetensors has changed since it was written"):
        checkpoint.load(newest)
    capsys.readouterr()
    run = tiny.train(tmp_path, precision="fp32")
    said = " ".join(capsys.readouterr().err.split())
    assert f"{newest.name}: optimizer.safetensors has changed" in said
    assert run.images == tiny.TOTAL
    assert checkpoint.damage(tmp_path / newest.name) is None, "the damaged checkpoint was not replaced"


def test_resuming_puts_every_number_back(tmp_path: Path) -> None:
    """Also those of channels-last weights, whose moments must lie in memory as the weights do."""
    run = tiny.train(tmp_path, images=16)
    other = Run(tiny.task(), tiny.settings(images=16), tmp_path)
    other.restore(tmp_path / "images-000000000016")
    assert (other.images, other.steps, other.skipped) == (16, 4, 0)
    shuffled = 0
    for name, parameter in run.names.items():
        for key, value in run.optimizer.state(parameter).items():
            again = other.optimizer.state(other.names[name])[key]
            assert torch.equal(again, value)
            assert again.stride() == value.stride()
            shuffled += not value.is_contiguous()
    assert shuffled, "no weight was channels-last"
    for group in (run.task.model, run.average.model, run.task.extra):
        assert group is not None
    for name, value in run.average.model.state_dict().items():
        assert torch.equal(other.average.model.state_dict()[name], value)


@pytest.mark.parametrize(
    ("changed", "message"),
    [({"lr": 0.5}, "--lr 0.001, not 0.5"), ({"weight_decay": 0.5}, "--weight-decay 0.02, not 0.5")],
)
def test_other_knobs_are_refused(tmp_path: Path, changed: dict[str, float], message: str) -> None:
    tiny.train(tmp_path, images=16)
    with pytest.raises(CheckpointError, match=message):
        tiny.train(tmp_path, **changed)


def test_a_finished_run_is_left_as_it_is_and_can_be_made_longer(tmp_path: Path) -> None:
    tiny.train(tmp_path, images=16)
    written = (tmp_path / "images-000000000016" / "manifest.json").stat().st_mtime_ns
    assert tiny.train(tmp_path, images=16).steps == 4
    assert (tmp_path / "images-000000000016" / "manifest.json").stat().st_mtime_ns == written
    assert tiny.train(tmp_path, images=24).steps == 6
