"""Who takes part: a recipe with some of its knobs set, written ``NAME`` or ``NAME:knob=value,knob=value``."""

from __future__ import annotations

import json
import re
import typing
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from limner.catalogue.recipes import find_recipes, resolve_recipe
from limner.errors import InputError
from limner.recipe import Recipe
from limner.store.folder import find_recipe
from limner.store.knobs import fits, revive
from limner.train.settings import Settings, marked


@dataclass(frozen=True)
class Entrant:
    """A recipe that is compared.

    Args:
        label: as it was asked for; what tables and pictures call it.
        path: of the recipe, ``generators/mar``.
        recipe: the recipe itself.
        knobs: its knobs; those that a comparison decides are not meant.
    """

    label: str
    path: str
    recipe: Recipe
    knobs: Settings

    @property
    def family(self) -> str:
        """The first part of the path."""
        return self.path.partition("/")[0]

    @property
    def folder(self) -> str:
        """The label as the name of a folder."""
        return re.sub(r"[^\w.=,-]+", "-", self.label)


def read_entrants(texts: Sequence[str], shared: str = "") -> tuple[Entrant, ...]:
    """The entrants of a command line; ``shared`` are knobs that all of them are given, beneath their own.

    Raises `InputError` if one is no recipe or no knob fits, if they are not of one family, or if two are the same.
    """
    entrants = tuple(read_entrant(text, shared) for text in texts)
    families = sorted({entrant.family for entrant in entrants})
    if len(families) > 1:
        raise InputError(f"{' and '.join(families)} have no score in common: compare recipes of one family")
    folders = [entrant.folder for entrant in entrants]
    if twice := [folder for folder in folders if folders.count(folder) > 1]:
        raise InputError(f"{twice[0]} is compared twice: give each recipe once, or with other knobs")
    return entrants


def read_entrant(text: str, shared: str = "") -> Entrant:
    """The entrant that a text such as ``mar:width=192`` names; see `read_entrants`."""
    name, _, own = text.partition(":")
    entry = resolve_recipe(name, find_recipes())
    if not entry.trains:
        raise InputError(f"{entry.path} measures models and trains none: it cannot be compared")
    recipe = find_recipe(entry.path)
    label = f"{entry.path.rpartition('/')[2]}:{own}" if own else entry.path.rpartition("/")[2]
    values = {**_values(recipe, shared, label), **_values(recipe, own, label)}
    return Entrant(label, entry.path, recipe, replace(recipe.knobs(), **values))


def _values(recipe: Recipe, text: str, label: str) -> dict[str, Any]:
    """Knobs by name."""
    hints, decided = typing.get_type_hints(recipe.knobs), marked(recipe.knobs, "run", "shared")
    values: dict[str, Any] = {}
    for setting in filter(None, text.split(",")):
        name, equals, value = setting.partition("=")
        name = name.strip().lstrip("-").replace("-", "_")
        if not equals or name not in hints:
            raise InputError(
                f"{label} has no knob {setting!r}: write knob=value; `limner train NAME --help` lists them"
            )
        if name in decided:
            raise InputError(f"{label} cannot have {name} of its own: a comparison decides it for all alike")
        values[name] = _value(hints[name], value.strip(), f"{label}: {name}")
    return values


def _value(hint: Any, text: str, what: str) -> Any:
    """A knob's value: a number, true, false, none or plain text; of several, with spaces between."""
    parts = [_plain(part) for part in text.split()]
    for reading in (*parts[:1], parts, text):
        if fits(hint, reading) and (len(parts) == 1 or reading is not parts[0]):
            return revive(hint, reading)
    raise InputError(f"{what} cannot be {text!r}: give a value that `limner train` takes")


def _plain(text: str) -> Any:
    words = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    try:
        return json.loads(text)
    except ValueError:
        return text
