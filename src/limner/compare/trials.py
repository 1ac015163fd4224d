"""One training of a comparison: a contestant under one seed, resumable, with what it cost."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import torch

from limner.catalogue.places import commit
from limner.compare.budget import clock, quiet
from limner.compare.plan import Contestant, Plan
from limner.store.files import read_card
from limner.store.folder import save
from limner.store.knobs import CARD
from limner.train import checkpoint
from limner.train.loop import train

SPENT = "spent.json"


def folder_of(plan: Plan, contestant: Contestant, seed: int) -> Path:
    """Where a training lies."""
    return plan.asked.out / "runs" / contestant.entrant.folder / f"seed-{seed}"


def train_to_plan(plan: Plan, contestant: Contestant, seed: int, say: Callable[[str], None]) -> Path | None:
    """The finished model's folder, trained from where the training stands; None if it was interrupted again."""
    folder = folder_of(plan, contestant, seed)
    if (folder / "model" / CARD).is_file():
        return folder / "model"
    entrant, knobs = contestant.entrant, contestant.knobs(plan.asked, seed)
    say(f"{entrant.label}, seed {seed}: training on {knobs.images:,} images")
    torch.manual_seed(seed)
    task = quiet(entrant.recipe.task(knobs))
    newest, _ = checkpoint.newest(folder)
    start = 0 if newest is None else checkpoint.load(newest)[1]["images"]
    now = clock(knobs.device)
    began = now()
    run = train(task, knobs, folder, label=f"{entrant.label}, seed {seed}")
    spent = _spend(folder, run.images - start, now() - began)
    if run.images < knobs.images:
        return None
    facts = {"images": run.images, "steps": run.steps, "commit": commit(), "seconds": round(spent * run.images, 1)}
    return save(run.average.model, folder / "model", recipe=entrant.path, knobs=knobs, facts=facts)


def seconds_spent(model: Path) -> float:
    """What a finished training cost, by the clock of `limner.compare.budget.clock`."""
    return float(read_card(model)["seconds"])


def _spend(folder: Path, images: int, seconds: float) -> float:
    """Note one stretch of a training; returns the seconds per image over all, so that what was lost between a
    checkpoint and a kill counts no twice."""
    path = folder / SPENT
    stretches = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    stretches.append([images, seconds])
    path.write_text(json.dumps(stretches), encoding="utf-8")
    return sum(part[1] for part in stretches) / max(sum(part[0] for part in stretches), 1)
