"""Where the code lies and what ships beside it: in a checkout at the top of the repository, else inside the package."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Literal

PACKAGE = Path(__file__).resolve().parents[1]


def shipped(name: Literal["weights", "proofs"]) -> Path:
    """The directory ``weights`` or ``proofs``: inside an installed package, at the top of a checkout otherwise."""
    inside = PACKAGE / name
    return inside if inside.is_dir() else PACKAGE.parents[1] / name


def commit() -> str | None:
    """The commit of the checkout that runs, with ``-dirty`` if files differ from it; None outside a checkout."""
    top = PACKAGE.parents[1]
    if not (top / ".git").exists():
        return None
    command = ["git", "-C", str(top), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
