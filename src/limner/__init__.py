"""limner draws what you ask for and takes pictures apart into tokens.

``limner.load("mar-emoji-64").draw("a red heart left of a blue star", n=4, seed=0)`` returns four pictures. Importing
limner imports nothing heavy: torch comes with the first thing that needs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from limner.recipes.library import load as load

__all__ = ["__version__", "load"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """``limner.load`` brings torch and the recipes only when it is asked for (PEP 562)."""
    if name == "load":
        from limner.recipes.library import load

        return load
    raise AttributeError(f"module 'limner' has no attribute {name!r}")
