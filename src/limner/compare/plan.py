"""What a comparison is to do, written into its folder before it begins, so that a resumed one does the same.

``plan.json`` holds the budget and what it buys every recipe. More seeds and more recipes may be asked for later;
another budget, other knobs or another number of prompts make another comparison, in another folder.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from limner.catalogue.places import commit
from limner.compare.budget import Budget, Cost, images_of, measure, quiet, read_budget
from limner.compare.entrants import Entrant, read_entrants
from limner.compare.parameters import count_parameters, matched
from limner.errors import InputError
from limner.evaluate.records import numbers, read_record
from limner.store.knobs import json_knobs, parse_knobs
from limner.train.settings import Settings

PLAN = "plan.json"
NEVER = 1_000_000_000  # images
SHORTEST, LONGEST, SHARE = 2.0, 20.0, 0.01  # seconds of measuring: this share of the budget, but within these


@dataclass(frozen=True)
class ComparisonRequest:
    """What is asked for.

    Args:
        recipes: entrants as they are written.
        budget: of each training, as it is written; see `read_budget`.
        seeds: how many trainings per recipe.
        out: folder of the comparison.
        shared: knobs that all recipes are given.
        count: held-out prompts of each set that are judged.
        match: give all the parameters of the first.
        device, threads: where it is trained.
    """

    recipes: tuple[str, ...]
    budget: str
    seeds: int
    out: Path
    shared: str = ""
    count: int = 50
    match: bool = False
    device: str = "cpu"
    threads: int = 0

    def fixed(self) -> dict[str, Any]:
        """What may not change while a folder is filled, under the names of the command line."""
        return {
            "budget": self.budget,
            "with": self.shared,
            "count": self.count,
            "match-parameters": self.match,
            "device": self.device,
            "threads": self.threads,
        }


@dataclass(frozen=True)
class Contestant:
    """An entrant with what it was measured to cost and what the budget buys it."""

    entrant: Entrant
    parameters: int
    cost: Cost
    images: int

    def knobs(self, request: ComparisonRequest, seed: int) -> Settings:
        """All knobs of one training. Warm-up and average take a tenth and a twentieth of it at most, so that a short
        training reaches its peak; pictures taken apart lie in one place for all."""
        own = self.entrant.knobs
        return replace(
            own,
            out=request.out,
            images=self.images,
            warmup=min(own.warmup, self.images // 10),
            ema=min(own.ema, self.images // 20),
            seed=seed,
            device=request.device,
            threads=request.threads,
            sample_every=NEVER,
            checkpoint_every=max(own.batch, self.images // 20),
        )


@dataclass(frozen=True)
class Plan:
    """The contestants, and what is true of all."""

    request: ComparisonRequest
    contestants: tuple[Contestant, ...]
    made: dict[str, Any]


def make_plan(request: ComparisonRequest, say: Callable[[str], None]) -> Plan:
    """The plan in the folder, with what it lacks measured and added.

    Raises `InputError` if the folder holds another comparison, or cannot be written.
    """
    budget, entrants = read_budget(request.budget), read_entrants(request.recipes, request.shared)
    kept = _read(request.out)
    if kept is None:
        kept = {"asked": request.fixed(), "commit": commit(), "machine": machine(request.device), "recipes": {}}
        _write(request.out, kept)
    for name, value in request.fixed().items():
        if kept["asked"].get(name) != value:
            raise InputError(
                f"{request.out} was begun with --{name} {_or_nothing(kept['asked'].get(name))}, not "
                f"{_or_nothing(value)}: ask for the same to go on, or give another --out"
            )
    target: int | None = None
    contestants: list[Contestant] = []
    for entrant in entrants:
        if entrant.label not in kept["recipes"]:
            kept["recipes"][entrant.label] = _planned(entrant, request, budget, target, say)
            _write(request.out, kept)
        contestants.append(_contestant(entrant, kept["recipes"][entrant.label], request))
        target = target or contestants[0].parameters
    return Plan(request, tuple(contestants), kept)


def _planned(
    entrant: Entrant, request: ComparisonRequest, budget: Budget, target: int | None, say: Callable[[str], None]
) -> dict[str, Any]:
    entrant_knobs = json_knobs(entrant.knobs)
    if request.match and target is not None:
        entrant = matched(entrant, target)
    say(f"{entrant.label}: measuring what an image costs")
    first = Contestant(entrant, count_parameters(entrant), Cost(0.0, 0.0), entrant.knobs.batch)
    knobs = first.knobs(request, seed=0)
    if request.threads:
        torch.set_num_threads(request.threads)
    torch.manual_seed(0)
    wanted = SHARE * budget.amount if budget.unit == "seconds" else SHORTEST
    task = quiet(entrant.recipe.task(knobs))
    cost = measure(task, knobs, seconds=min(max(wanted, SHORTEST), LONGEST))
    return {
        "recipe": entrant.path,
        "asked": entrant_knobs,
        "knobs": json_knobs(entrant.knobs),
        "parameters": first.parameters,
        "cost": asdict(cost),
        "images": images_of(budget, cost, knobs.batch),
    }


def _contestant(entrant: Entrant, planned: dict[str, Any], request: ComparisonRequest) -> Contestant:
    if planned["asked"] != json_knobs(entrant.knobs):
        changed = [name for name, value in json_knobs(entrant.knobs).items() if planned["asked"].get(name) != value]
        raise InputError(
            f"{entrant.label} was planned in {request.out} with another {', '.join(changed) or 'set of knobs'}: give "
            "another --out"
        )
    knobs = parse_knobs(entrant.recipe.knobs, planned["knobs"], request.out)
    cost = Cost(**planned["cost"])
    return Contestant(replace(entrant, knobs=knobs), planned["parameters"], cost, planned["images"])


def machine(device: str) -> dict[str, Any]:
    """What it runs on."""
    name = torch.cuda.get_device_name() if device.startswith("cuda") else platform.processor() or platform.machine()
    return {"device": device, "name": name, "torch": torch.__version__}


def _read(folder: Path) -> dict[str, Any] | None:
    path = folder / PLAN
    if not path.exists():
        return None
    return read_record(path, "no plan of a comparison", "delete it, or give another --out", _plan)


def _plan(content: Any) -> dict[str, Any]:
    for name, planned in dict(content["recipes"]).items():
        numbers({"parameters": planned["parameters"], "images": planned["images"], **asdict(Cost(**planned["cost"]))})
        if not {"recipe", "asked", "knobs"} <= planned.keys() or planned["images"] < 1:
            raise ValueError(f"{name} is not planned whole")
        dict(planned["asked"]), dict(planned["knobs"])
    return {**content, "asked": dict(content["asked"]), "recipes": dict(content["recipes"])}


def _write(folder: Path, content: dict[str, Any]) -> None:
    aside = folder / f".writing-{PLAN}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        aside.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        aside.replace(folder / PLAN)
    except OSError as error:
        raise InputError(f"--out {folder} cannot be written ({error.strerror}): choose another place") from None


def _or_nothing(value: Any) -> str:
    return str(value) or "nothing"
