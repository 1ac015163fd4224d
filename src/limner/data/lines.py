"""JSON lines: one object per line, whatever its strings hold.

A line ends at a line feed and nowhere else: U+2028, U+2029 and U+0085 are legal inside a JSON string, and
``str.splitlines`` would cut there. What is written here escapes them, for readers that do.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from limner.errors import InputError

_ESCAPED = re.compile("[\x85\u2028\u2029\ud800-\udfff]")  # line ends of Unicode, and halves of surrogate pairs
HALF = re.compile("[\ud800-\udfff]")


class Line(NamedTuple):
    """A line by its number: the object in it, or None and what is wrong."""

    number: int
    row: dict[str, Any] | None
    problem: str


def read_lines(path: Path) -> Iterator[Line]:
    """The lines of a file that are not empty; raises `InputError` if it cannot be read."""
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise InputError(f"'{path}' cannot be read ({reason}): give a JSONL file in UTF-8") from None
    for number, text in enumerate(lines, 1):
        if text.strip():
            yield _parsed(number, text)


def _parsed(number: int, text: str) -> Line:
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as error:
        return Line(number, None, f"is not JSON ({error}): write one object per line")
    if not isinstance(row, dict):
        return Line(number, None, "is no JSON object: write one object per line")
    if half := half_of(row):
        return Line(number, None, f"holds {half}: write the text again as UTF-8")
    return Line(number, row, "")


def half_of(value: Any) -> str:
    """A sentence part about a string, however deep, with half a surrogate pair in it, which no text in UTF-8 can
    hold and no vocabulary reads; empty where there is none."""
    if isinstance(value, str):
        found = HALF.search(value)
        return f"{found.group()!a}, which is half a character" if found else ""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return next((problem for one in inner if (problem := half_of(one))), "")


def line_of(row: dict[str, Any]) -> str:
    """An object as one line, without its end."""
    text = json.dumps(row, ensure_ascii=False)
    return _ESCAPED.sub(lambda match: f"\\u{ord(match.group()):04x}", text)


def write_rows(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """JSON objects, one per line. Raises InputError if the file cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{line_of(row)}\n" for row in rows), encoding="utf-8")
    except OSError as error:
        raise InputError(f"'{path}' cannot be written ({error.strerror}): choose another place") from None
