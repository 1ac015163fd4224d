"""The README's table says what the recipes say."""

from __future__ import annotations

import runpy
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "scripts" / "write_readme.py"


def test_the_table_is_what_the_recipes_say() -> None:
    script = runpy.run_path(str(SCRIPT))
    text = script["README"].read_text(encoding="utf-8")
    assert script["written"](text) == text, "run python scripts/write_readme.py"
