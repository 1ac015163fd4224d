"""Writes the table of what works into README.md, from the recipes: their docstrings' first sentences and literals.

python scripts/write_readme.py         # after a recipe was added; a test says when the table is stale
"""

from __future__ import annotations

from pathlib import Path

from limner.catalogue.recipes import RecipeEntry, find_recipes

README = Path(__file__).resolve().parents[1] / "README.md"
START, END = "<!-- written by scripts/write_readme.py -->", "<!-- /written -->"
FAMILIES = {
    "tokenizers": "Tokenizers",
    "generators": "Draw",
    "encoders": "Encoders",
    "understanding": "See",
    "unified": "See and draw",
    "techniques": "Change a model that is trained",
    "audits": "Measure",
}


def table() -> str:
    """One row per recipe, family by family."""
    entries = find_recipes()
    assert {entry.path.partition("/")[0] for entry in entries} <= FAMILIES.keys()
    lines = ["| | recipe | what it is |", "|---|---|---|"]
    for family, heading in FAMILIES.items():
        for index, entry in enumerate(one for one in entries if one.path.startswith(f"{family}/")):
            lines.append(f"| {'' if index else heading} | {reached_by(entry)} | {entry.purpose.rstrip('.')} |")
    return "\n".join(lines)


def reached_by(entry: RecipeEntry) -> str:
    """How a recipe is used on the command line."""
    name = entry.path.partition("/")[2]
    return f"`--with {name.replace('_', '-')}`" if entry.path.startswith("techniques/") else f"`{name}`"


def written(text: str) -> str:
    """The page with the table between its marks."""
    head, _, rest = text.partition(START)
    _, _, tail = rest.partition(END)
    return f"{head}{START}\n{table()}\n{END}{tail}"


if __name__ == "__main__":
    README.write_text(written(README.read_text(encoding="utf-8")), encoding="utf-8")
