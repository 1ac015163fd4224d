"""limner draws what you ask for and takes pictures apart into tokens.

``limner.load("mar-emoji-64").draw("a red heart left of a blue star", n=4, seed=0)`` returns four pictures. Importing
limner imports nothing heavy: torch comes with the first thing that needs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from limner.store.folder import load as load
    from limner.store.origin import push_to_hub as push_to_hub
    from limner.store.origin import save as save

__all__ = ["__version__", "load", "push_to_hub", "save"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """``limner.load`` and its like bring torch and the recipes only when they are asked for (PEP 562)."""
    if name == "load":
        from limner.store.folder import load

        return load
    if name in ("save", "push_to_hub"):
        from limner.store import origin as saving

        return getattr(saving, name)
    raise AttributeError(f"module 'limner' has no attribute {name!r}")
