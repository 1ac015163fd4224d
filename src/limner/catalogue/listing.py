"""The catalogue's table, and how far each of its rows has come."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from limner.catalogue.places import PACKAGE, shipped
from limner.catalogue.recipes import RecipeEntry, find_recipes
from limner.errors import InputError

TABLE = PACKAGE / "catalogue" / "systems.tsv"
STATES = ("works", "partly", "not yet")
BESIDE = "recipe"  # the tier of what is built here without a row of its own in the table
Verdict = Literal["held", "not held", "undecided"]
VERDICTS: tuple[Verdict, ...] = ("held", "not held", "undecided")
UNDECIDED = VERDICTS[2]


@dataclass(frozen=True)
class System:
    """A published system: one row of the table. ``tier`` is 1 (first) to 3, "survey" for what is only listed, or
    ``BESIDE`` for a recipe that the table has no row of: what others are compared with, and limner's own."""

    id: str
    name: str
    title: str
    family: str
    tier: int | str


@dataclass(frozen=True)
class Listed:
    """A row of the listing: the system, its recipe if there is one, and each claim with its verdict, None while no
    proof is on file."""

    system: System
    recipe: RecipeEntry | None
    claims: tuple[tuple[str, Verdict | None], ...]

    @property
    def state(self) -> str:
        """One of ``STATES``."""
        return self.recipe.state if self.recipe else "not yet"

    def to_json(self) -> dict[str, Any]:
        """The row as ``limner systems --json`` prints it."""
        return {
            "id": self.system.id,
            "family": self.system.family,
            "tier": self.system.tier,
            "state": self.state,
            "kind": self.recipe.kind if self.recipe else None,
            "recipe": self.recipe.path if self.recipe else None,
            "claims": [{"text": text, "verdict": verdict} for text, verdict in self.claims],
        }


def read_systems(table: Path = TABLE) -> tuple[System, ...]:
    """All rows of the table, in its order."""
    with table.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    return tuple(
        System(
            row["id"], row["name"], row["title"], row["family"], int(tier) if (tier := row["tier"]).isdigit() else tier
        )
        for row in rows
    )


def find_system(id: str, systems: tuple[System, ...]) -> System:
    """The row with this id. Raises InputError if there is none."""
    for system in systems:
        if system.id == id:
            return system
    raise InputError(f"there is no system {id!r} in the catalogue: `limner systems` lists them all")


def proof_path(system: System, proofs: Path | None = None) -> Path:
    """Where the proof of a system lies: ``proofs/<family>/<id>.json``."""
    return (proofs or shipped("proofs")) / system.family / f"{system.id}.json"


def proof_of(recipe: RecipeEntry, proofs: Path | None = None) -> Path:
    """Where the proof of a recipe lies: that of its system, or ``proofs/baseline/<name>.json`` where it has none."""
    if recipe.system is None:
        return (proofs or shipped("proofs")) / "baseline" / f"{recipe.path.rpartition('/')[2]}.json"
    return proof_path(find_system(recipe.system, read_systems()), proofs)


def list_systems(
    family: str | None = None,
    state: str | None = None,
    *,
    systems: tuple[System, ...] | None = None,
    recipes: tuple[RecipeEntry, ...] | None = None,
    proofs: Path | None = None,
) -> list[Listed]:
    """The rows of the catalogue with state and claims, and after them the recipes that it has no row of; all or those
    of one ``family`` or ``state``.

    ``systems``, ``recipes`` and ``proofs`` default to what is in the package. Raises InputError for an unknown family.
    """
    systems = read_systems() if systems is None else systems
    recipes = find_recipes() if recipes is None else recipes
    families = sorted({system.family for system in systems})
    if family is not None and family not in families:
        raise InputError(f"there is no family {family!r} in the catalogue: choose one of {', '.join(families)}")
    of_system = {recipe.system: recipe for recipe in recipes}
    beside = {_beside(recipe, families): recipe for recipe in recipes if recipe.system is None}
    every = [(system, of_system.get(system.id)) for system in systems] + list(beside.items())
    rows = (_row(system, recipe, proofs) for system, recipe in every if family in (None, system.family))
    return [row for row in rows if state in (None, row.state)]


def _beside(recipe: RecipeEntry, families: list[str]) -> System:
    """A recipe as a row of its own."""
    folder, _, name = recipe.path.partition("/")
    known = next((family for family in families if family.split("-")[0] == folder.removesuffix("s")), folder)
    return System(name.replace("_", "-"), name, recipe.purpose, known, BESIDE)


def _row(system: System, recipe: RecipeEntry | None, proofs: Path | None) -> Listed:
    if recipe is None:
        return Listed(system, None, ())
    verdicts = _verdicts(proof_of(recipe, proofs) if recipe.system is None else proof_path(system, proofs))
    return Listed(system, recipe, tuple((text, verdicts.get(text)) for text in recipe.claims))


def _verdicts(path: Path) -> dict[str, Verdict]:
    """The verdict on each claim, by its text, from a proof ``{"claims": [{"text", "verdict", ...}, ...], ...}``.

    A proof of the old form, ``{"text", "held"}``, does not say whether its arms had learned their task, so whatever it
    found, its claims are undecided.
    """
    if not path.is_file():
        return {}
    try:
        claims = json.loads(path.read_text(encoding="utf-8"))["claims"]
        return {claim["text"]: _verdict(claim) for claim in claims}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"the proof {path} is damaged ({error!r}): write it again with `limner prove`") from None


def _verdict(claim: dict[str, Any]) -> Verdict:
    recorded = claim["verdict"] if "verdict" in claim else {True: UNDECIDED, False: UNDECIDED}[claim["held"]]
    for verdict in VERDICTS:
        if recorded == verdict:
            return verdict
    raise ValueError(f"{recorded!r} is no verdict")
