"""The training loop, the only one: descend ``task.loss(task.batch(...))`` and lose nothing on the way.

Progress is the number of images seen. Data and draws of a step are functions of (seed, images seen), and weights,
average, optimizer and progress are in every checkpoint, so a killed run goes on bit for bit as if it had not been.
"""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from limner.errors import CheckpointError, DivergedError
from limner.nn.pixels import to_arrays
from limner.pictures import grid, save
from limner.train import checkpoint
from limner.train.average import WeightAverage
from limner.train.memory import freed_memory_kept
from limner.train.optimizer import Optimizer
from limner.train.settings import Settings, marked
from limner.train.task import Task
from limner.train.tracking import Tracker
from limner.types import Rng, derive_seed

LOG_SECONDS = 10.0
MAX_SKIPPED = 20  # consecutive steps with a non-finite loss or gradient before the run is given up


class Run:
    """The state of a training run: everything that a checkpoint holds."""

    def __init__(self, task: Task[Any, Any], settings: Settings, directory: Path) -> None:
        self.task, self.settings, self.directory = task, settings, directory
        device = torch.device(settings.device)
        task.model.to(device)
        self.modules: dict[str, nn.Module] = {"model": task.model}
        if task.extra is not None:
            self.modules["extra"] = task.extra.to(device)
        self.average = WeightAverage(task.model, settings.ema_decay())
        self.frozen = {name for name, weight in task.model.named_parameters() if not weight.requires_grad}
        self.names = {
            f"{group}.{name}": parameter
            for group, module in self.modules.items()
            for name, parameter in module.named_parameters()
            if parameter.requires_grad
        }
        self.optimizer = Optimizer(self.modules.values(), self.names.values(), settings)
        self.images = self.steps = self.skipped = 0

    def save(self) -> Path:
        """Write a checkpoint of this moment."""
        tensors = {group: dict(module.state_dict()) for group, module in self.modules.items()}
        average = self.average.model.state_dict().items()
        tensors["average"] = {name: value for name, value in average if name not in self.frozen}
        tensors["optimizer"] = {
            f"{name}/{key}": value
            for name, parameter in self.names.items()
            for key, value in self.optimizer.state(parameter).items()
        }
        knobs = {key: str(value) if isinstance(value, Path) else value for key, value in asdict(self.settings).items()}
        state = {"images": self.images, "steps": self.steps, "skipped": self.skipped, "knobs": knobs}
        return checkpoint.save(self.directory, self.images, tensors, state)

    def restore(self, folder: Path) -> None:
        """Go back to a checkpoint; raises `CheckpointError` if it was made with other knobs."""
        tensors, state = checkpoint.load(folder)
        free = marked(type(self.settings), "run", "free")
        now = {key: str(value) if isinstance(value, Path) else value for key, value in asdict(self.settings).items()}
        for key, value in state["knobs"].items():
            if key not in free and key in now and _plain(now[key]) != _plain(value):
                option = key.replace("_", "-")
                raise CheckpointError(
                    f"{folder} was trained with --{option} {value}, not {now[key]}: "
                    "use the same knobs to resume, or another --out to start afresh"
                )
        for group, module in self.modules.items():
            module.load_state_dict(tensors[group])
        self.average.model.load_state_dict({**tensors["model"], **tensors["average"]})
        slots: dict[str, dict[str, Tensor]] = {name: {} for name in self.names}
        for key, value in tensors["optimizer"].items():
            name, slot = key.rsplit("/", 1)
            slots[name][slot] = value
        for name, parameter in self.names.items():
            self.optimizer.restore(parameter, slots[name])
        self.images, self.steps, self.skipped = state["images"], state["steps"], state["skipped"]

    def step(self) -> dict[str, float]:
        """One optimizer step; returns what to log, with ``loss`` not finite if the step was skipped."""
        settings = self.settings
        part = settings.batch // settings.accumulate
        values: dict[str, float] = {}
        buffers = [buffer for module in self.modules.values() for buffer in module.buffers()]
        before = [buffer.clone() for buffer in buffers]
        self.optimizer.zero_grad()
        for index in range(settings.accumulate):
            start = self.images + index * part
            batch = _to(self.task.batch(start, part), settings.device)
            rng = Rng(derive_seed(settings.seed, "loss", start), settings.device)
            torch.manual_seed(derive_seed(settings.seed, "dropout", start))
            with precision(settings):
                loss, metrics = self.task.loss(self.task.model, batch, rng)
            (loss / settings.accumulate).backward()
            for name, value in {"loss": loss.detach(), **metrics}.items():
                values[name] = values.get(name, 0.0) + float(value) / settings.accumulate
        norm = float(torch.nn.utils.clip_grad_norm_(self.names.values(), settings.clip))
        values["gradient"] = norm
        if math.isfinite(values["loss"]) and math.isfinite(norm):
            self.optimizer.step(settings.learning_rate(self.images) / settings.lr)
            self.average.update(self.task.model, self.steps)
            self.steps, self.skipped = self.steps + 1, 0
        else:
            self.skipped += 1
            for buffer, value in zip(buffers, before, strict=True):
                buffer.copy_(value)  # a running average that met one NaN would keep it
            if self.skipped > MAX_SKIPPED:
                raise DivergedError(
                    f"{self.skipped} steps in a row had a loss or gradient that is not finite, the last at "
                    f"{self.images} images: lower --lr or use --precision fp32; the last checkpoint is untouched"
                )
        self.images += settings.batch
        return values


def train(
    task: Task[Any, Any], settings: Settings, directory: Path, *, label: str = "training", bar: bool = True
) -> Run:
    """Train ``task`` for ``settings.images`` images, resuming what ``directory`` holds; returns the run at its end.

    Ctrl-C and SIGTERM finish the step, save a checkpoint and return; ``run.images < settings.images`` then.
    """
    if settings.threads:
        torch.set_num_threads(settings.threads)
    run = Run(task, settings, directory)
    folder, notes = checkpoint.newest(directory)
    if folder is not None:
        run.restore(folder)
    task.model.train()
    with Tracker(directory, settings.images, label, bar=bar) as tracker, interruption() as interrupted:
        for note in notes:
            tracker.say(note)
        if folder is not None:
            tracker.say(f"resuming {directory} at {run.images} images")
        with freed_memory_kept():
            _descend(run, tracker, interrupted)
    return run


def _descend(run: Run, tracker: Tracker, interrupted: list[int]) -> None:
    settings = run.settings
    began = logged = time.monotonic()
    logged_at = run.images
    while run.images < settings.images:
        before = run.images
        values = run.step()
        now = time.monotonic()
        last = run.images >= settings.images
        stop = bool(interrupted) or (settings.minutes > 0 and now - began > settings.minutes * 60)
        if run.skipped:
            tracker.say(f"skipped a step with a loss or gradient that is not finite, at {before} images")
        if now - logged > LOG_SECONDS or last or stop:
            rate = (run.images - logged_at) / max(now - logged, 1e-9)
            tracker.report(run.images, {**values, "lr": settings.learning_rate(before), "images/s": rate})
            tracker.advance(run.images, rate, f"loss {values['loss']:.4f}")
            logged, logged_at = now, run.images
        if _passed(before, run.images, settings.sample_every) or last:
            show(run, tracker)
        if _passed(before, run.images, settings.checkpoint_every) or last or stop:
            run.save()
        if stop:
            tracker.say(f"saved {run.directory} at {run.images} images; the same command resumes it")
            return


def show(run: Run, tracker: Tracker) -> None:
    """Held-out scores to the log and a sample grid to ``samples/``, both of the averaged weights."""
    model = run.average.model if run.settings.ema else run.task.model
    model.eval()
    with torch.no_grad():  # in fp32: a diffusion sampler multiplies the rounding of its first steps
        scores = run.task.validate(model) if run.task.validate else {}
        pictures = run.task.preview(model) if run.task.preview else None
    if run.settings.ema == 0:
        model.train()
    if scores:
        tracker.report(run.images, scores)
    if pictures is not None:
        page = grid(to_arrays(pictures), columns=8, cell=max(pictures.shape[-1], 64))
        save(page, run.directory / "samples" / f"images-{run.images:012d}.png")


@contextmanager
def interruption() -> Iterator[list[int]]:
    """Collect the first SIGINT or SIGTERM in a list instead of dying from it; a second one acts at once."""
    received: list[int] = []
    watched = (signal.SIGINT, signal.SIGTERM)

    def note(number: int, _frame: Any) -> None:
        received.append(number)
        for one, handler in previous.items():
            signal.signal(one, handler)

    previous = {one: signal.getsignal(one) for one in watched}
    try:
        for one in watched:
            signal.signal(one, note)
    except ValueError:  # not the main thread: the caller's handlers stay
        yield received
        return
    try:
        yield received
    finally:
        for one, handler in previous.items():
            signal.signal(one, handler)


def precision(settings: Settings) -> torch.autocast:
    """The autocast context of a run's forward pass."""
    return torch.autocast(torch.device(settings.device).type, torch.bfloat16, enabled=settings.precision == "bf16")


def _passed(before: int, after: int, every: int) -> bool:
    return before // every < after // every


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _to(batch: Any, device: str) -> Any:
    if isinstance(batch, Tensor):
        return batch.to(device)
    if isinstance(batch, dict):
        return {key: _to(value, device) for key, value in batch.items()}
    if isinstance(batch, (tuple, list)):
        return type(batch)(_to(value, device) for value in batch)
    return batch
