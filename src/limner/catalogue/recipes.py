"""Finds recipes by reading them, never by importing them, so that a listing costs no torch.

A recipe module ends in a literal call, which is all that is read here::

    RECIPE = Recipe(system="mar", state="works", ..., claims=(Claim(text="...", ...),))
"""

from __future__ import annotations

import ast
import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from limner.catalogue.places import PACKAGE
from limner.errors import InputError

RECIPES = PACKAGE / "recipes"

Kind: TypeAlias = Literal["recipe", "technique", "measure"]
KINDS: dict[str, Kind] = {"Technique": "technique", "Measure": "measure"}  # by the name that the module calls


@dataclass(frozen=True)
class RecipeEntry:
    """What a recipe module says about itself without being imported.

    ``path`` is its name on the command line (``generators/mar``); ``system`` is the id of its row in the catalogue, or
    None for a baseline that is no published system; ``state`` is "works" or "partly"; ``purpose`` is the first sentence
    of the docstring; ``kind``: "recipe" has a model to train, "technique" changes one, "measure" measures them.
    """

    path: str
    system: str | None
    state: str
    purpose: str
    claims: tuple[str, ...]
    kind: Kind = "recipe"

    @property
    def module(self) -> str:
        """The dotted name to import."""
        return "limner.recipes." + self.path.replace("/", ".")

    @property
    def trains(self) -> bool:
        """Has it a model to train?"""
        return self.kind == "recipe"


def find_recipes(root: Path = RECIPES) -> tuple[RecipeEntry, ...]:
    """Every recipe under ``root/<family>/<name>.py``, sorted by path. Raises InputError if one is no Python."""
    files = sorted(root.glob("*/*.py"))
    entries = (_read_recipe(file, f"{file.parent.name}/{file.stem}") for file in files)
    return tuple(entry for entry in entries if entry is not None)


def resolve_recipe(name: str, recipes: tuple[RecipeEntry, ...], noun: str = "recipe") -> RecipeEntry:
    """The recipe (or what ``noun`` says) called ``name``: its path (``generators/mar``), its last part if only one
    has it (``mar``), or its dotted or file spelling. Raises InputError with the closest names when there is
    none, or several."""
    wanted = name.removesuffix(".py").replace(".", "/").replace("\\", "/").strip("/")
    wanted = wanted.rpartition("recipes/")[2]
    for fits in (wanted, wanted.replace("-", "_")):
        found = [entry for entry in recipes if fits in (entry.path, entry.path.rpartition("/")[2])]
        if len(found) == 1:
            return found[0]
        if found:
            paths = " or ".join(entry.path for entry in found)
            raise InputError(f"{noun} {name!r} is ambiguous: say {paths}")
    raise InputError(_unknown(noun, name, wanted, [entry.path for entry in recipes]))


def _unknown(noun: str, name: str, wanted: str, paths: list[str]) -> str:
    short = {path.rpartition("/")[2]: path for path in paths}
    near = difflib.get_close_matches(wanted, [*paths, *short], n=3, cutoff=0.5)
    close = list(dict.fromkeys(short.get(match, match) for match in near))
    if close:
        return f"there is no {noun} {name!r}: did you mean {' or '.join(close)}?"
    return f"there is no {noun} {name!r}: choose one of {', '.join(paths) or 'none so far'}"


def _read_recipe(file: Path, path: str) -> RecipeEntry | None:
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise InputError(f"{file} cannot be read as a recipe: line {error.lineno} is no Python ({error.msg})") from None
    assigned = _assignments(tree)
    call = assigned.get("RECIPE")
    if not isinstance(call, ast.Call):
        return None
    words = {keyword.arg: keyword.value for keyword in call.keywords}
    purpose = (ast.get_docstring(tree) or "").split("\n\n")[0].replace("\n", " ")
    return RecipeEntry(
        path=path,
        system=_literal(words.get("system")),
        state=_literal(words.get("state")) or "partly",
        purpose=purpose,
        claims=tuple(_claims(words.get("claims"), assigned)),
        kind=KINDS.get(call.func.id, "recipe") if isinstance(call.func, ast.Name) else "recipe",
    )


def _assignments(tree: ast.Module) -> dict[str, ast.expr]:
    """The names that the module assigns at its top level, with the expressions they are given."""
    assigned: dict[str, ast.expr] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign):
            assigned |= {target.id: node.value for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            assigned[node.target.id] = node.value
    return assigned


def _claims(value: ast.expr | None, assigned: dict[str, ast.expr]) -> list[str]:
    """Texts of the ``Claim(text=...)`` calls in ``value``, in order; a name stands for what it was assigned."""
    if isinstance(value, ast.Name):
        return _claims(assigned.get(value.id), assigned)
    if isinstance(value, ast.Tuple | ast.List):
        return [text for part in value.elts for text in _claims(part, assigned)]
    if not isinstance(value, ast.Call):
        return []
    texts = [_literal(keyword.value) for keyword in value.keywords if keyword.arg == "text"]
    return [text for text in texts if text is not None]


def _literal(value: ast.expr | None) -> str | None:
    """A string written out in the source (also over several lines), else None."""
    return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else None
