"""``limner systems``: the catalogue, without importing torch."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Annotated, Literal

from tyro.conf import arg

from limner.catalogue.listing import BESIDE, Listed, Verdict, list_systems
from limner.cli.command import Flag, console, parse, print_json

EXAMPLES = """\
  limner systems
  limner systems --family generator --state works
  limner systems --json"""

PIPE_WIDTH = 160
SIGNS: dict[Verdict | None, str] = {"held": "+", "not held": "-", "undecided": "?", None: "."}
MARKS = {"works": "green", "partly": "yellow", "not yet": "dim"}


@dataclass(frozen=True)
class Systems:
    """List the published systems and how far each has come."""

    family: Annotated[str | None, arg(help_behavior_hint="(default: all)")] = None
    """Only this family, such as tokenizer, generator or encoder."""
    state: Annotated[
        Literal["works", "partly", "not yet"] | None, arg(metavar="STATE", help_behavior_hint="(default: all)")
    ] = None
    """Only systems in this state: works, partly or "not yet"."""
    json: Flag = False
    """Print a list of {"id", "family", "tier", "state", "kind", "recipe", "claims"} and nothing else."""


def run(arguments: list[str]) -> None:
    """Prints the table or the JSON list."""
    options = parse(Systems, "limner systems", EXAMPLES, arguments)
    rows = list_systems(options.family, options.state)
    if options.json:
        print_json([row.to_json() for row in rows])
    else:
        _print_table(rows)


def _print_table(rows: list[Listed]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold", expand=True, collapse_padding=True)
    for heading in ("id", "family", "tier", "state", "recipe", "claims"):
        table.add_column(heading, no_wrap=True)
    table.add_column("title", no_wrap=True, ratio=1)
    for row in rows:
        system, recipe = row.system, _recipe(row)
        state = Text(row.state, style=MARKS[row.state])
        table.add_row(
            system.id, system.family, str(system.tier), state, recipe, _signs(row), Text(system.title, style="dim")
        )
    out = console(PIPE_WIDTH)
    out.print(table)
    published = [row for row in rows if row.system.tier != BESIDE]
    counts = Counter(row.state for row in published)
    beside = len(rows) - len(published)
    out.print(
        f"\n{len(published)} systems: "
        + ", ".join(f"{counts[state]} {state}" for state in MARKS)
        + (f"; and {beside} recipes beside them" if beside else "")
    )
    found = Counter(verdict for row in rows for _, verdict in row.claims)
    words = [f"{sign} {verdict or 'not measured'} {found[verdict]}" for verdict, sign in SIGNS.items()]
    out.print(f"{found.total()} claims of their papers, tried here: " + ", ".join(words), style="dim")


def _recipe(row: Listed) -> str:
    """The recipe's path; a technique as it is written behind ``limner draw`` or ``limner see``."""
    if row.recipe is None:
        return ""
    return f"--with {row.recipe.path.rpartition('/')[2]}" if row.recipe.kind == "technique" else row.recipe.path


def _signs(row: Listed) -> str:
    """A sign per claim of the recipe, in its order; the last line of the table says what they mean."""
    return "".join(SIGNS[verdict] for _, verdict in row.claims)
