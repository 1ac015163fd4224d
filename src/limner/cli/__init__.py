"""The one entry: ``limner VERB ...``. Each verb is a module of this package, imported when it is called."""

from __future__ import annotations


def entry() -> None:
    """The console script."""
    raise SystemExit(0)
