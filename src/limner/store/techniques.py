"""Techniques by name, as the command line writes them: ``gsd``, ``gsd:draft=2,rho=0.5``.

model = with_techniques(limner.load("var-emoji-64"), ["smooth"])
"""

from __future__ import annotations

import importlib
import json
import re
import typing
from collections.abc import Sequence
from typing import Any

from limner.catalogue.recipes import find_recipes, resolve_recipe
from limner.errors import InputError
from limner.recipe import Technique
from limner.store.knobs import fits, revive


def with_techniques(model: Any, texts: Sequence[str]) -> Any:
    """The model, changed by each technique from left to right.

    Args:
        model: one that limner loaded; it is changed itself.
        texts: ``NAME`` or ``NAME:knob=value,knob=value`` each.

    Raises `InputError` naming the technique if there is none of this name, if it has no such knob or value, or if it
    does not suit the model.
    """
    for text in texts:
        technique, knobs = read_technique(text)
        try:
            model = technique.change(model, knobs)
        except InputError as error:
            raise InputError(f"--with {text}: {error}") from None
    return model


def find_technique(name: str) -> Technique[Any, Any]:
    """The technique of this name or path; raises `InputError` with the closest names."""
    techniques = tuple(entry for entry in find_recipes() if entry.kind == "technique")
    found = importlib.import_module(resolve_recipe(name, techniques, "technique").module).RECIPE
    assert isinstance(found, Technique)
    return found


def read_technique(text: str) -> tuple[Technique[Any, Any], Any]:
    """A technique and its knobs from ``NAME:knob=value,knob=value``; errors as those of `with_techniques`."""
    name, _, rest = text.partition(":")
    technique = find_technique(name)
    hints = typing.get_type_hints(technique.knobs)
    values: dict[str, Any] = {}
    for setting in filter(None, re.split(r",(?![^\[]*\])", rest)):  # commas within brackets are a list's
        knob, sign, written = setting.partition("=")
        knob = knob.strip().replace("-", "_")
        if not sign or knob not in hints:
            listed = ", ".join(hints) or "none"
            raise InputError(f"--with {text}: {setting!r} sets no knob of {name}: write knob=value, of {listed}")
        values[knob] = _value(hints[knob], written.strip(), f"--with {text}: {knob}")
    return technique, technique.knobs(**values)


def _value(hint: Any, written: str, what: str) -> Any:
    """A knob's value from its text: JSON where that fits the annotation (``4``, ``0.5``, ``true``), else the text."""
    try:
        value = json.loads(written)
    except ValueError:
        value = written
    for candidate in (value, written):
        if fits(hint, candidate):
            return float(candidate) if hint is float else revive(hint, candidate)
    raise InputError(f"{what} is {written!r}, which is no {getattr(hint, '__name__', hint)}")
