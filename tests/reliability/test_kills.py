"""kill -9 at random moments, of trainings and of what is being saved."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Trials = Callable[[int, int], int]
Record = Callable[[str, int, int], None]


def killed(what: str, folder: Path, trials: int, repository: Path) -> tuple[int, int]:
    """See `tests.reliability.kills`; in a process of its own, which has no threads when it forks."""
    command = [sys.executable, "-m", "tests.reliability.kills", what, str(folder), str(trials)]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    tried, held = map(int, done.stdout.split())
    return tried, held


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_killed_trainings_end_as_if_nothing_had_been(
    tmp_path: Path, repository: Path, trials: Trials, record: Record
) -> None:
    record(
        "kill -9 in training: the end is the same, byte for byte",
        *killed("train", tmp_path, trials(3, 100), repository),
    )


@pytest.mark.timeout(3000)
def test_killed_saves_of_checkpoints_lose_none(
    tmp_path: Path, repository: Path, trials: Trials, record: Record
) -> None:
    tried, held = killed("checkpoint", tmp_path, trials(5, 300), repository)
    record("kill -9 while a checkpoint is saved: the newest finished one is whole", tried, held)


@pytest.mark.timeout(3000)
def test_killed_saves_of_models_leave_the_old_or_the_new(
    tmp_path: Path, repository: Path, trials: Trials, record: Record
) -> None:
    tried, held = killed("model", tmp_path, trials(5, 300), repository)
    record("kill -9 while a model is saved over another: it is the old or the new, whole", tried, held)
