"""The caption in a table that belongs to a picture: a line of ``metadata.jsonl``, or a ``.json`` of a sample."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from limner.data.lines import half_of

KEYS = ("text", "caption")
ALIKE = ("prompt", "description", "title", "alt", "captions", "texts", "txt", "caption_text", "TEXT", "Caption", "Text")


def caption_of(table: Mapping[str, Any]) -> str:
    """Its ``text``, else its ``caption``, in one line; empty where both are missing or null.

    Raises ValueError if that is no string or no sound text, or if the table has its caption under another name, which
    would be lost.
    """
    given = next((key for key in KEYS if table.get(key) is not None), None)
    if given is None:
        other = next((key for key in ALIKE if isinstance(table.get(key), str | list) and table[key]), None)
        if other is not None and not any(key in table for key in KEYS):
            raise ValueError(f'it has no "text" but a "{other}": rename that to "text"')
        return ""
    if not isinstance(table[given], str):
        raise ValueError(f'its "{given}" is no string: put the caption in quotes')
    return one_line(table[given])


def one_line(text: str) -> str:
    """A caption with single blanks; raises ValueError for half a character."""
    if half := half_of(text):
        raise ValueError(f"it holds {half}: write it again as UTF-8")
    return " ".join(text.split())
