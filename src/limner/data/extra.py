"""Files that ship inside the wheels of the ``data`` extra."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from limner.errors import InputError


def package_file(package: str, path: str) -> Path:
    """A file of an installed package, found without importing it.

    Raises InputError if the package is not installed or its version does not ship the file.
    """
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise InputError(f"the package {package} is not installed: run pip install 'limner[data]'")
    file = Path(spec.origin).parent / path
    if not file.is_file():
        raise InputError(f"the installed {package} does not hold {path}: run pip install --upgrade 'limner[data]'")
    return file
