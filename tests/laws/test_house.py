"""Names of the package: a class name stands once, and names are words of the field."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

import limner

ROOT = Path(limner.__file__).parent
ONE_PER_RECIPE = {"Knobs"}
BANNED = {"asked", "kin", "manner", "said", "shown", "sight", "six", "steer", "steered", "steering", "taught", "told"}


def trees() -> dict[str, ast.Module]:
    """Every module of the package, by its path."""
    return {
        path.relative_to(ROOT).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(ROOT.rglob("*.py"))
    }


def test_a_class_name_stands_once() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for path, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and node.name not in ONE_PER_RECIPE:
                places[node.name].append(path)
    assert len(places) > 200, "no classes were read"
    assert not {name: paths for name, paths in places.items() if len(paths) > 1}


def words_of(name: str) -> set[str]:
    """Of ``two_words`` and of ``TwoWords``."""
    return set(re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().split("_"))


def identifiers(tree: ast.Module) -> set[str]:
    """Names of classes, functions, parameters, variables and attributes."""
    names: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                names.add(name)
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name):
                names.add(name)
            case ast.keyword(arg=str(name)) | ast.alias(asname=str(name)):
                names.add(name)
    return names


def test_names_are_words_of_the_field() -> None:
    assert words_of("was_told") & words_of("ToldTwice") & BANNED == {"told"}
    found = {path: {name for name in identifiers(tree) if words_of(name) & BANNED} for path, tree in trees().items()}
    assert not {path: names for path, names in found.items() if names}
