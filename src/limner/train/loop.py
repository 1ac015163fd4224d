"""The training loop, the only one: descend ``task.loss(task.batch(...))`` and lose nothing on the way.

Progress is the number of images seen. Data and draws of a step are functions of (seed, images seen), and weights,
average, optimizer and progress are in every checkpoint, so a killed run goes on bit for bit as if it had not been. What
ends a run early, a signal or an error, finds what was reached saved.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch

from limner.errors import CheckpointError, DivergedError, InputError
from limner.nn.pixels import to_arrays
from limner.pictures import grid, save
from limner.train import checkpoint
from limner.train.interruption import interruption
from limner.train.lock import locked
from limner.train.memory import freed_memory_kept
from limner.train.run import MisfitError, Run
from limner.train.settings import Settings
from limner.train.task import Task
from limner.train.tracking import Tracker

LOG_SECONDS = 10.0


def train(
    task: Task[Any, Any], settings: Settings, directory: Path, *, label: str = "training", bar: bool = True
) -> Run:
    """Train ``task`` for ``settings.images`` images, resuming what ``directory`` holds; returns the run at its end.

    Ctrl-C, SIGTERM and SIGHUP finish the step, save a checkpoint and return; ``run.images < settings.images`` then.

    Raises `InputError` if another run trains in the directory, or for a batch that the loss cannot use, and
    `DivergedError`; other errors pass through, once what was reached is saved.
    """
    with locked(directory):
        return train_in(directory, task, settings, label=label, bar=bar)


def train_in(
    directory: Path, task: Task[Any, Any], settings: Settings, *, label: str = "training", bar: bool = True
) -> Run:
    """`train`, for a caller that holds the lock of the directory."""
    if settings.threads:
        torch.set_num_threads(settings.threads)
    run = Run(task, settings, directory)
    notes = resume(run)
    task.model.train()
    with Tracker(directory, settings.images, label, bar=bar) as tracker, interruption() as interrupted:
        for note in notes:
            tracker.say(note)
        with freed_memory_kept():
            _descend(run, tracker, interrupted)
    return run


def resume(run: Run) -> list[str]:
    """Restore the newest sound checkpoint of a run; returns what there is to say of it, and of those passed over.

    Raises `CheckpointError` if it was made with other knobs, and `MisfitError` if none is of this model.
    """
    notes: list[str] = []
    misfits: list[MisfitError] = []
    for folder in reversed(checkpoint.complete(run.directory)):
        problem = checkpoint.damage(folder)
        if problem is None:
            try:
                run.restore(folder)
            except MisfitError as error:
                misfits.append(error)
                problem = str(error).removeprefix(f"{folder}: ")
            else:
                return [*notes, f"resuming {run.directory} at {run.images} images"]
        run.distrusted.append(folder)
        notes.append(f"{folder.name}: {problem}; using the checkpoint before it")
    if misfits:
        raise misfits[0]
    return [*notes, "no checkpoint is sound: starting afresh"] if notes else []


def _descend(run: Run, tracker: Tracker, interrupted: list[int]) -> None:
    """Step to the end; an error on the way passes through, once what was reached is saved."""
    try:
        _steps(run, tracker, interrupted)
    except (DivergedError, CheckpointError):  # nothing that was reached is worth keeping, or it cannot be kept
        raise
    except BaseException:
        if not run.torn and run.images > run.saved:
            _checkpoint(run, tracker)
        if run.images == run.saved > 0:
            tracker.say(f"{run.directory} is saved at {run.images} images, before the error that follows")
        raise


def _steps(run: Run, tracker: Tracker, interrupted: list[int]) -> None:
    settings = run.settings
    began = logged = time.monotonic()
    logged_at = run.images
    _say_notices(run, tracker)
    while run.images < settings.images:
        before = run.images
        values = run.step()
        now = time.monotonic()
        last = run.images >= settings.images
        stop = bool(interrupted) or (settings.minutes > 0 and now - began > settings.minutes * 60)
        _say_notices(run, tracker)
        if run.skipped:
            tracker.say(f"skipped a step with a loss or gradient that is not finite, at {before} images")
        if now - logged > LOG_SECONDS or last or stop:
            rate = (run.images - logged_at) / max(now - logged, 1e-9)
            tracker.report(run.images, {**values, "lr": settings.learning_rate(before), "images/s": rate})
            tracker.advance(run.images, rate, f"loss {values['loss']:.4f}")
            logged, logged_at = now, run.images
        if last or (_passed(before, run.images, settings.sample_every) and not stop):
            show(run, tracker)
        if _passed(before, run.images, settings.checkpoint_every) or last or stop:
            _checkpoint(run, tracker, needed=last or stop)
        if stop:
            run.stopped_by = interrupted[0] if interrupted else None
            tracker.say(f"saved {run.directory} at {run.images} images; the same command resumes it")
            return


def _checkpoint(run: Run, tracker: Tracker, *, needed: bool = False) -> None:
    """Save; where that fails, the training goes on and tries again later, unless this is the last chance.

    Raises `DivergedError`, and `CheckpointError` if ``needed``.
    """
    try:
        run.save()
    except OSError as error:
        problem = f"{run.directory} cannot be written at {run.images} images ({error.strerror or error})"
        if needed:
            raise CheckpointError(
                f"{problem}: free some space and run the same command again, which goes on from {run.saved} images"
            ) from None
        tracker.say(f"{problem}: training goes on, and saves at the next checkpoint; free some space until then")


def _say_notices(run: Run, tracker: Tracker) -> None:
    while run.task.notices:
        tracker.say(run.task.notices.pop(0))


def show(run: Run, tracker: Tracker) -> None:
    """Held-out scores to the log and a sample grid to ``samples/``, both of the averaged weights."""
    model = run.average.model if run.settings.ema else run.task.model
    model.eval()
    try:
        with torch.no_grad():  # in fp32: a diffusion sampler multiplies the rounding of its first steps
            scores = run.task.validate(model) if run.task.validate else {}
            pictures = run.task.preview(model) if run.task.preview else None
    finally:
        if run.settings.ema == 0:
            model.train()
    if scores:
        tracker.report(run.images, scores)
    if pictures is not None:
        page = grid(to_arrays(pictures), columns=8, cell=max(pictures.shape[-1], 64))
        place = run.directory / "samples" / f"images-{run.images:012d}.png"
        try:
            save(page, place)
        except (OSError, InputError) as error:
            tracker.say(f"{place} cannot be written ({error}): training goes on without it")


def _passed(before: int, after: int, every: int) -> bool:
    return before // every < after // every
