"""limner: models that see images and models that draw them, token by token.

``limner.load("mar-emoji-64").draw("a red heart left of a blue star", n=4, seed=0)`` returns four images. Importing
limner imports nothing heavy: torch comes with the first name that needs it (PEP 562).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from limner.models.class_to_image import ClassToImage as ClassToImage
    from limner.models.limner import Limner as Limner
    from limner.models.text_to_image import TextToImage as TextToImage
    from limner.models.vision_language import VisionLanguageModel as VisionLanguageModel
    from limner.store.folder import load as load
    from limner.store.origin import push_to_hub as push_to_hub
    from limner.store.origin import save as save

_WHERE = {
    "load": "store.folder",
    "save": "store.origin",
    "push_to_hub": "store.origin",
    "TextToImage": "models.text_to_image",
    "ClassToImage": "models.class_to_image",
    "VisionLanguageModel": "models.vision_language",
    "Limner": "models.limner",
}

__all__ = ["__version__", *_WHERE]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'limner' has no attribute {name!r}")
    return getattr(importlib.import_module(f"limner.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
