"""Write what `pytest tests/reliability --figures FILE` tried and held into docs/reliability.md.

python scripts/write_reliability.py figures.json
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[1] / "docs/reliability.md"


def table(figures: dict[str, dict[str, int]]) -> str:
    """One row per promise, in alphabetical order."""
    rows = [f"| {promise} | {one['tried']:,} | {one['held']:,} |" for promise, one in sorted(figures.items())]
    return "\n".join(["| promise | tried | held |", "|---|---|---|", *rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figures", type=Path, help="what pytest wrote")
    figures = json.loads(parser.parse_args().figures.read_text(encoding="utf-8"))
    page = PAGE.read_text(encoding="utf-8")
    written = re.sub(
        r"(<!-- figures -->\n).*(<!-- /figures -->)",
        lambda match: f"{match[1]}{table(figures)}\n{match[2]}",
        page,
        flags=re.DOTALL,
    )
    PAGE.write_text(written, encoding="utf-8")


if __name__ == "__main__":
    main()
