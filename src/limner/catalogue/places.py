"""Where the directories lie that ship beside the code: the repository in a checkout, the package once installed."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

PACKAGE = Path(__file__).resolve().parents[1]


def shipped(name: Literal["weights", "proofs"]) -> Path:
    """The directory ``weights`` or ``proofs``: inside an installed package, at the top of a checkout otherwise."""
    inside = PACKAGE / name
    return inside if inside.is_dir() else PACKAGE.parents[1] / name
