"""A row of a file of conversations, before its picture is read."""

from __future__ import annotations

from pathlib import PureWindowsPath
from typing import NamedTuple

from limner.data.conversations import Turn


class ConversationRow(NamedTuple):
    """Turns about a picture: ``name`` is the row's in its file, ``picture`` a path relative to the folder of
    pictures, or None; ``apart``: turns are independent of each other."""

    name: str
    picture: str | None
    turns: tuple[Turn, ...]
    apart: bool


def inside(path: str) -> bool:
    """Does a path stay in the folder that it starts from?"""
    parsed = PureWindowsPath(path)  # which knows both slashes, and drives
    return not parsed.drive and not parsed.root and ".." not in parsed.parts
