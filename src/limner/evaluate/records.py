"""Records that a later command builds on: JSON files whose form is checked as they are read, and never trusted."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from limner.errors import InputError

Record = TypeVar("Record")


def read_record(path: Path, what: str, remedy: str, read: Callable[[Any], Record]) -> Record:
    """What ``read`` makes of the JSON in a file.

    Args:
        path: of the file.
        what: it is to be, for sentences: "no report of `limner evaluate --json`".
        remedy: what to do if it is not.
        read: of the parsed file; raises ValueError, KeyError, TypeError or AttributeError where the form is another.

    Raises `InputError` if there is no such file, or it is none of these.
    """
    try:
        return read(json.loads(path.read_text(encoding="utf-8")))
    except InputError:
        raise
    except (
        ArithmeticError,
        AttributeError,
        IndexError,
        KeyError,
        OSError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
        raise InputError(f"{path} is {what} ({reason}): {remedy}") from None


def numbers(content: Any, *, finite: bool = True) -> dict[str, float]:
    """Values by name; raises TypeError for what is no table of numbers, ValueError for NaN and infinity."""
    found: dict[str, float] = {}
    for name, value in dict(content).items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError(f"{name} is {value!r} and no number")
        if finite and not math.isfinite(value):
            raise ValueError(f"{name} is {value}")
        found[str(name)] = float(value)
    return found
