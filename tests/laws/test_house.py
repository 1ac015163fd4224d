"""Names of the package: a class name stands once, and names are words of the field."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import limner

ROOT = Path(limner.__file__).parent
ONE_PER_RECIPE = {"Knobs"}


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
