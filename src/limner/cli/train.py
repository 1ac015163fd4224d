"""``limner train RECIPE``: the knobs of the recipe are the options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from limner.catalogue.places import commit
from limner.catalogue.recipes import RecipeEntry, find_recipes, resolve_recipe
from limner.cli.command import parse
from limner.errors import InputError

EXAMPLES = """\
  limner train tokenizers/vae --help
  limner train vae --out runs/vae
  limner train generators/mar --out runs/mar --images 500000"""


def run(arguments: list[str]) -> int:
    """Finds the recipe, reads its knobs from the remaining arguments and trains; returns the exit code."""
    recipes = find_recipes()
    if not arguments or arguments[0] in ("-h", "--help"):
        print(explain(tuple(entry for entry in recipes if entry.trains)))
        return 0
    name, *rest = arguments
    if name.startswith("-"):
        raise InputError(f"the recipe comes first, before {name}: `limner train RECIPE {name} ...`")
    entry = resolve_recipe(name, recipes)
    if entry.kind == "measure":
        raise InputError(f"{entry.path} measures models and trains none: run `limner prove {entry.path}`")
    if entry.kind == "technique":
        raise InputError(f"{entry.path} changes models and trains none: add --with {name} to `limner draw` or `see`")
    from limner.store.folder import find_recipe

    recipe = find_recipe(entry.path)
    return train(entry, recipe, read_knobs(entry, recipe, rest))


def train(entry: RecipeEntry, recipe: Any, knobs: Any) -> int:
    """Trains, and saves the averaged weights as a model in ``OUT/model`` once all images were seen; returns 0 then, and
    `limner.train.interruption.exit_code` where it stopped before."""
    import torch

    from limner.store.folder import save
    from limner.train.interruption import exit_code
    from limner.train.lock import locked
    from limner.train.loop import train_in

    directory = knobs.out or Path("runs") / entry.path.rpartition("/")[2]
    with locked(directory):
        torch.manual_seed(knobs.seed)
        run = train_in(directory, recipe.task(knobs), knobs, label=entry.path)
        if run.images < knobs.images:
            print(f"stopped after {run.images:,} of {knobs.images:,} images: the same command goes on from there")
            return exit_code(run.stopped_by)
        facts = {"images": run.images, "steps": run.steps, "commit": commit()}
        folder = save(run.average.model, directory / "model", recipe=entry.path, knobs=knobs, facts=facts)
    print(f"trained on {run.images:,} images: {folder}")
    return 0


def explain(recipes: tuple[RecipeEntry, ...]) -> str:
    """The help of the verb itself, with the recipes there are; a recipe's own help lists its knobs."""
    width = max((len(entry.path) for entry in recipes), default=0)
    lines = "\n".join(f"  {entry.path:<{width}}  {entry.purpose}" for entry in recipes)
    return (
        "usage: limner train RECIPE [knobs]\n\nTrain a recipe, or go on with an interrupted run: the same command with "
        "the same --out resumes it.\nCtrl-C, SIGTERM and --minutes save and stop. Exit codes: 0 finished, 2 refused, "
        "75 stopped by --minutes,\n128 + signal stopped by one (130 Ctrl-C, 143 SIGTERM): the same command goes on.\n\n"
        f"Recipes (the last part of a name is enough if it is the only one):\n{lines}\n\nExamples:\n{EXAMPLES}\n\n"
        "`limner train RECIPE --help` explains the knobs of a recipe."
    )


def read_knobs(entry: RecipeEntry, recipe: Any, arguments: list[str]) -> Any:
    """The recipe's knobs, with what ``arguments`` change."""
    program = f"limner train {entry.path}"
    example = f"  {program} --out runs/{entry.path.rpartition('/')[2]}"
    return parse(recipe.knobs, program, example, arguments, entry.purpose)
