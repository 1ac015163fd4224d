"""What a run leaves to read: log.jsonl, TensorBoard events, sample grids, and a progress bar while it runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn


class Tracker:
    """Writes one JSON line per report, mirrored to TensorBoard where it is installed, and draws the progress bar."""

    def __init__(self, run: Path, total: int, label: str, *, bar: bool = True) -> None:
        self.run = run
        run.mkdir(parents=True, exist_ok=True)
        self._file = (run / "log.jsonl").open("a")
        self._board = _summary_writer(run)
        console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
            disable=not bar or not console.is_terminal,
        )
        self._task: TaskID = self._progress.add_task(label, total=total, rate="", note="")
        self._plain = bar and not console.is_terminal

    def __enter__(self) -> Tracker:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._progress.stop()
        self._file.close()
        if self._board is not None:
            self._board.close()

    def report(self, images: int, values: dict[str, float]) -> None:
        """Log named numbers at ``images`` images."""
        try:
            self._file.write(json.dumps({"images": images, **values}) + "\n")
            self._file.flush()
        except OSError as error:
            self.say(f"{self._file.name} cannot be written ({error.strerror}): this report is not logged")
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(name, value, images)
        if self._plain:
            line = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
            sys.stderr.write(f"{images:>9} images  {line}\n")
            sys.stderr.flush()

    def advance(self, images: int, rate: float, note: str) -> None:
        """Move the bar to ``images`` images at ``rate`` images per second."""
        self._progress.update(self._task, completed=images, rate=f"{rate:.0f} images/s", note=note)

    def say(self, message: str) -> None:
        """One line above the bar."""
        self._progress.console.print(message, highlight=False)


def _summary_writer(run: Path) -> Any | None:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:  # an optional extra: pip install 'limner[train]'
        return None
    return SummaryWriter(str(run / "tensorboard"))
