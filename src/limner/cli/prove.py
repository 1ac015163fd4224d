"""``limner prove``: the small experiment behind the claims of a recipe."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from tyro.conf import Positional

from limner.catalogue.listing import find_system, proof_path, read_systems
from limner.catalogue.recipes import find_recipes, resolve_recipe
from limner.cli.command import Flag, parse, print_json, standard_output_kept
from limner.errors import InputError

EXAMPLES = """\
  limner prove vq-vae
  limner prove generators/mar --seeds 3 --json"""


@dataclass(frozen=True)
class Prove:
    """Run the small experiment behind a recipe's claims, with its baselines, and write proofs/FAMILY/ID.json."""

    recipe: Positional[str]
    """A recipe, such as generators/mar, or its last part if only one has it."""
    seeds: int = 3
    """Repetitions, each with its own seed; intervals are over them."""
    json: Flag = False
    """Print the proof as one object and nothing else."""


def run(arguments: list[str]) -> None:
    """Proves, writes the file and prints which claims held."""
    options = parse(Prove, "limner prove", EXAMPLES, arguments)
    with standard_output_kept(options.json):
        proof = prove(options)
    if options.json:
        print_json(proof)
        return
    for claim in proof["claims"]:
        print(f"{'holds' if claim['held'] else 'does not hold'}: {claim['text']}")


def prove(options: Prove) -> dict[str, Any]:
    """Runs the experiment and writes ``proofs/<family>/<id>.json``, of which it returns the content."""
    entry = resolve_recipe(options.recipe, find_recipes())
    if entry.system is None:
        raise InputError(f"{entry.path} is a baseline and claims nothing: prove the system that is compared with it")
    path = proof_path(find_system(entry.system, read_systems()))
    proof: dict[str, Any] = importlib.import_module(entry.module).RECIPE.prove(seeds=options.seeds, path=path)
    return proof
