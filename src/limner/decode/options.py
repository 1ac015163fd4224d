"""Options of a drawing by name, as models and the command line take them: ``model.draw("a red heart", guidance=3.0)``.

A new option is one line of `DrawOptions`, and one of `with_options` or of the step that reads it.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, TypedDict, Unpack

from limner.decode.decoder import Decoder
from limner.errors import InputError
from limner.generators.heads.head import SamplingOptions, check_steps, discrete
from limner.processes.solvers import SOLVERS, Solver, ddim
from limner.types import whole


class DrawOptions(TypedDict, total=False):
    """How a drawing is made; what is left out, or None, is the model's own."""

    steps: int | None
    """Turns of the sampling loop, where the order leaves a choice."""
    guidance: float | None
    """1 is none."""
    temperature: float | None
    """0 is least random."""
    top_k: int | None
    """Of a head of ids: only so many of the likeliest are drawn; 0 is all."""
    top_p: float | None
    """Of a head of ids: only the likeliest are drawn that together have this probability, in (0, 1]."""
    solver: Solver | str | None
    """Of a diffusion head, or its name, one of `SOLVERS`."""
    head_steps: int | None
    """Of a head that denoises, per token."""


def with_options(decoder: Decoder, **options: Unpack[DrawOptions]) -> Decoder:
    """The decoder with these options in place of its own; raises `InputError` if they cannot be, or if its head has no
    such choice."""
    chosen: dict[str, Any] = {name: _checked(name, value) for name, value in options.items() if value is not None}
    steps = chosen.pop("steps", decoder.steps)
    if isinstance(name := chosen.get("solver"), str):
        if name not in SOLVERS:
            raise InputError(f"there is no solver {name!r}: choose {', '.join(SOLVERS)}")
        chosen["solver"] = SOLVERS[name]
        check_steps(decoder.generator.head, SamplingOptions(solver=SOLVERS[name] or ddim))
    if {"top_k", "top_p"} & chosen.keys():
        discrete(decoder.generator.head)
    return replace(decoder, steps=steps, options=replace(decoder.options, **chosen))


LEAST = {"steps": 1, "top_k": 0, "head_steps": 1}  # of the options that are counts


def _checked(name: str, value: Any) -> Any:
    """An option as Python's own number; raises `InputError` for no number, and for nan and infinity."""
    if name in LEAST:
        return whole(value, name, LEAST[name])
    if name == "solver" or name not in DrawOptions.__annotations__:
        return value
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number) or isinstance(value, str):
        raise InputError(f"{name} is {value!r}, but must be a finite number")
    return number
