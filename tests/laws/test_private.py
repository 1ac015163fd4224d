"""No private name of a library without a guard: what another version may lack is looked for before it is used."""

from __future__ import annotations

import ast
from pathlib import Path

GUARDED = {  # looked for by hasattr where they are used
    "nn/packing.py": {"_reorder_linear_weight", "_linear_pointwise"},
    "train/average.py": {"_foreach_lerp_"},
}


def roots(tree: ast.Module) -> set[str]:
    """Names by which a module knows other packages than limner."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not (node.module or "").startswith("limner"):
            found |= {alias.asname or alias.name for alias in node.names}
    return found - {"limner"}


def private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def private_names(tree: ast.Module) -> set[str]:
    """Private attributes of other packages, and private names imported from them."""
    libraries, found = roots(tree), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and private(node.attr):
            base = node.value
            while isinstance(base, ast.Attribute):
                base = base.value
            if isinstance(base, ast.Name) and base.id in libraries:
                found.add(node.attr)
        elif isinstance(node, ast.ImportFrom) and not (node.module or "").startswith("limner"):
            found |= {part for part in (node.module or "").split(".") if private(part)}
            found |= {alias.name for alias in node.names if private(alias.name)}
    return found


def test_private_names_are_guarded(repository: Path) -> None:
    source = repository / "src" / "limner"
    used = {
        str(path.relative_to(source)): names
        for path in sorted(source.rglob("*.py"))
        if (names := private_names(ast.parse(path.read_text(encoding="utf-8"))))
    }
    assert used == GUARDED


def test_a_private_name_is_seen() -> None:
    text = "import torch\nfrom torch._C import x\ntorch.ops.mkldnn._linear(1)\nself._own()\nfrom limner.a import _b"
    assert private_names(ast.parse(text)) == {"_C", "_linear"}
