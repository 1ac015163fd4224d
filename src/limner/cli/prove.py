"""``limner prove``: the small experiment behind the claims of a recipe."""

from __future__ import annotations

import importlib
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg

from limner.catalogue.listing import proof_of
from limner.catalogue.places import commit
from limner.catalogue.recipes import RecipeEntry, find_recipes, resolve_recipe
from limner.cli.command import Flag, parse, print_json, standard_output_kept
from limner.errors import InputError

EXAMPLES = """\
  limner prove vq-vae
  limner prove generators/mar --seeds 3 --json
  limner prove mar --scale 0.01 -o rehearsal"""


@dataclass(frozen=True)
class Prove:
    """Run the small experiment behind a recipe's claims, with its controls, and write proofs/FAMILY/ID.json.

    A claim is held or not held; it is undecided if a model that takes part did not learn its task (each names the score
    and the bar). An interrupted experiment goes on where it stopped.
    """

    recipe: Positional[str]
    """A recipe, such as generators/mar, or its last part if only one has it."""
    seeds: int = 3
    """Repetitions, each with its own seed; intervals are over them."""
    scale: float = 1.0
    """Share of the images that each training sees; below 1 rehearses and proves nothing."""
    out: Annotated[Path, arg(aliases=["-o"])] = Path("proofs")
    """Folder of proofs."""
    runs: Path = Path("runs/proofs")
    """Folder of the trainings, kept so that they can go on."""
    json: Flag = False
    """Print the proof as one object and nothing else."""


def run(arguments: list[str]) -> None:
    """Proves, writes the file and prints the verdict and the arms of each claim."""
    options = parse(Prove, "limner prove", EXAMPLES, arguments)
    if options.seeds < 1 or not options.scale > 0:
        raise InputError(f"--seeds is {options.seeds} and --scale {options.scale}, but both must be above 0")
    with standard_output_kept(options.json):
        proof, path = prove(options)
    if options.json:
        print_json(proof)
        return
    for claim in proof["claims"]:
        print(f"{claim['verdict']}: {claim['text']}")
        for arm, reached in claim["competence"].items():
            print(f"  {arm}: {_reached(reached)}")
    print(f"wrote {path}")


def _reached(scores: dict[str, Any]) -> str:
    """The competence of an arm in words."""
    parts = (
        f"{name} {one['mean']:.3g} {'>=' if one['passed'] else '<'} {one['bar']:g}" for name, one in scores.items()
    )
    return ", ".join(parts) or "a control that has no bar to reach"


def prove(options: Prove) -> tuple[dict[str, Any], Path]:
    """Runs the experiment of every claim; returns the proof and the file it was written to."""
    entry = resolve_recipe(options.recipe, find_recipes())
    if not entry.claims:
        raise InputError(f"{entry.path} claims nothing: prove the system that is compared with it")
    path = proof_of(entry, options.out)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        options.runs.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"'{error.filename}' cannot be written ({error.strerror}): choose another place") from None
    started = time.monotonic()
    claims = measure(entry, options)
    proof = {
        "system": entry.system,
        "recipe": entry.path,
        "commit": commit(),
        "seeds": list(range(options.seeds)),
        "scale": options.scale,
        "seconds": round(time.monotonic() - started),
        "claims": claims,
    }
    path.write_text(json.dumps(proof, indent=1) + "\n", encoding="utf-8")
    return proof, path


def measure(entry: RecipeEntry, options: Prove) -> list[dict[str, Any]]:
    """Text, source, verdict, comparison, competence of the arms and numbers of each claim."""
    from limner.experiments.experiment import Experiment

    experiment = Experiment(
        seeds=tuple(range(options.seeds)),
        scale=options.scale,
        directory=options.runs,
        say=lambda line: print(line, file=sys.stderr),
    )
    proving = importlib.import_module("limner.experiments." + entry.path.replace("/", "."))
    claims = importlib.import_module(entry.module).RECIPE.claims
    return [
        {
            "text": claim.text,
            "source": claim.source,
            **comparison.described(),
            **comparison.finding(experiment).to_json(),
        }
        for claim, comparison in zip(claims, proving.CLAIMS, strict=True)
    ]
