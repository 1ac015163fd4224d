"""One training of a comparison: a contestant under one seed, resumable, with what it cost."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from limner.catalogue.places import commit
from limner.compare.budget import clock, quiet
from limner.compare.plan import Contestant, Plan
from limner.errors import InputError
from limner.evaluate.records import read_record
from limner.store.files import read_card
from limner.store.folder import save
from limner.store.knobs import CARD
from limner.train import checkpoint
from limner.train.loop import train
from limner.train.run import Run
from limner.train.settings import Settings
from limner.train.task import Task

SPENT = "spent.json"


def folder_of(plan: Plan, contestant: Contestant, seed: int) -> Path:
    """Where a training lies."""
    return plan.request.out / "runs" / contestant.entrant.folder / f"seed-{seed}"


def train_to_plan(plan: Plan, contestant: Contestant, seed: int, say: Callable[[str], None]) -> Path | None:
    """The finished model's folder, trained from where the training stands; None if it was interrupted again."""
    folder = folder_of(plan, contestant, seed)
    if (folder / "model" / CARD).is_file():
        return folder / "model"
    entrant, knobs = contestant.entrant, contestant.knobs(plan.request, seed)
    say(f"{entrant.label}, seed {seed}: training on {knobs.images:,} images")
    torch.manual_seed(seed)
    run = train_on(entrant.recipe.task(knobs), knobs, folder, f"{entrant.label}, seed {seed}")
    if run.images < knobs.images:
        return None
    facts = {
        "images": run.images,
        "steps": run.steps,
        "commit": commit(),
        "seconds": round(training_seconds(folder), 1),
    }
    return save(run.average.model, folder / "model", recipe=entrant.path, knobs=knobs, facts=facts)


def train_on(task: Task[Any, Any], knobs: Settings, folder: Path, label: str) -> Run:
    """A training from where its folder stands to its end, or to an interruption; notes what this stretch cost."""
    newest, _ = checkpoint.newest(folder)
    start = 0 if newest is None else checkpoint.load(newest)[1]["images"]
    now = clock(knobs.device)
    began = now()
    run = train(quiet(task), knobs, folder, label=label)
    if run.images > start:
        stretches = [*_stretches(folder), (run.images - start, now() - began)]
        (folder / SPENT).write_text(json.dumps(stretches), encoding="utf-8")
    return run


def seconds_spent(model: Path) -> float:
    """What a finished training cost, by the clock of `limner.compare.budget.clock`."""
    seconds = read_card(model).get("seconds")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not math.isfinite(seconds):
        raise InputError(f"{model / CARD} does not say how many seconds its training took: train it again")
    return float(seconds)


def training_seconds(folder: Path) -> float:
    """What the training in a folder cost, by `clock`: seconds per image over all its stretches, times the images it has
    seen, so that what was lost between a checkpoint and a kill does not count twice."""
    stretches = _stretches(folder)
    images, seconds = sum(images for images, _ in stretches), sum(seconds for _, seconds in stretches)
    newest, _ = checkpoint.newest(folder)
    if newest is not None and images < 1:
        raise InputError(f"{folder / SPENT} does not say what the training in its folder cost: give another --out")
    return 0.0 if newest is None else float(checkpoint.load(newest)[1]["images"] * seconds / images)


def _stretches(folder: Path) -> list[tuple[int, float]]:
    path = folder / SPENT
    if not path.exists():
        return []
    return read_record(path, "no note of what a training cost", "give another --out", _pairs)


def _pairs(content: Any) -> list[tuple[int, float]]:
    return [(int(images), float(seconds)) for images, seconds in content]
