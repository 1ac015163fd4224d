"""The knobs of a recipe as JSON, and back: a knob comes back as it was, or is refused by name."""

from __future__ import annotations

import dataclasses
import types
import typing
from pathlib import Path
from typing import Any, Literal

from limner.errors import CheckpointError
from limner.train.settings import Settings, marked

CARD = "recipe.json"
ASIDE = ".writing-"  # before the name of a file that is being written


def json_knobs(knobs: Settings) -> dict[str, Any]:
    """Knobs as JSON, without those of one run, which only say where and for how long to train."""
    run = marked(type(knobs), "run")
    values = {key: value for key, value in dataclasses.asdict(knobs).items() if key not in run}
    return {key: str(value) if isinstance(value, Path) else value for key, value in values.items()}


def parse_knobs(kind: type[Settings], values: dict[str, Any], source: Path) -> Settings:
    """Knobs from JSON, as `Settings.renewed` reads them and without those that are `Settings.retired`; raises
    `CheckpointError` for names that the recipe does not know, and values that do not fit."""
    known = {field.name for field in dataclasses.fields(kind)}
    hints = {name: hint for name, hint in typing.get_type_hints(kind).items() if name in known}
    values = kind.renewed(values)
    for name, left in kind.fixed.items():
        if name not in known and values.get(name, left) != left:
            raise CheckpointError(f"{source / CARD} sets {name} to {values[name]!r}, but only {left!r} is left")
    gone = kind.retired | kind.fixed.keys()
    values = {name: value for name, value in values.items() if name in known or name not in gone}
    if unknown := values.keys() - hints.keys():
        raise CheckpointError(f"{source / CARD} sets {min(unknown)}, which {kind.__module__} does not know")
    if wrong := [name for name, value in values.items() if not fits(hints[name], value)]:
        raise CheckpointError(
            f"{source / CARD} sets {wrong[0]} to {values[wrong[0]]!r}, which cannot be: save it again"
        )
    try:
        return kind(**{name: revive(hints[name], value) for name, value in values.items()})
    except (ArithmeticError, TypeError, ValueError) as error:  # an InputError too is a ValueError
        raise CheckpointError(f"{source / CARD} cannot be used: {error}") from None


def fits(hint: Any, value: Any) -> bool:
    """Could a knob with this annotation have been written as this JSON value?"""
    origin, options = typing.get_origin(hint), typing.get_args(hint)
    if isinstance(hint, types.UnionType):
        return any(fits(option, value) for option in options)
    if origin is Literal:
        return value in options
    if origin is tuple:
        return isinstance(value, list) and all(fits(options[0], item) for item in value)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is (str if hint is Path else hint)


def revive(hint: Any, value: Any) -> Any:
    """The knob that was written as this JSON value."""
    if isinstance(value, list):
        return tuple(value)
    if type(value) is int and float in (hint, *typing.get_args(hint)):
        return float(value)
    return Path(value) if isinstance(value, str) and Path in (hint, *typing.get_args(hint)) else value
