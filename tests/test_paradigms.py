"""The page of paradigms says what the code says."""

from __future__ import annotations

import runpy
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "scripts" / "write_paradigms.py"


def test_the_page_is_what_the_generators_say() -> None:
    written = runpy.run_path(str(SCRIPT))
    assert written["PAGE"].read_text(encoding="utf-8") == written["page"](), "run python scripts/write_paradigms.py"
