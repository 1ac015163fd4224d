"""Tiny models that see, saved as runs are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

TINY = {"size": 16, "encoder_width": 64, "encoder_depth": 1, "width": 64, "depth": 1, "vocabulary": 80}
SAID = (
    "what colour is the heart?",
    "describe the picture.",
    "a red heart left of a blue star",
    "yes no",
    "a green ring",
)


def _saved(folder: Path, path: str = "understanding/language_basis", *, seed: int = 0, **knobs: object) -> str:
    """A model with fresh weights and a vocabulary of a few sentences."""
    import torch

    from limner.languages.subwords import Subwords
    from limner.store.folder import find_recipe, save

    torch.manual_seed(seed)
    recipe = find_recipe(path)
    chosen = recipe.knobs(**{**TINY, **knobs})
    model = recipe.build(chosen)
    model.vocabulary = Subwords.trained(SAID, size=chosen.vocabulary, length=chosen.vocabulary, speaks=True)
    return str(save(model, folder, recipe=path, knobs=chosen, facts={}))


@pytest.fixture(scope="session")
def saved_model() -> Callable[..., str]:
    """Makes a model in a folder."""
    return _saved


@pytest.fixture(scope="session")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model that sees in words."""
    return _saved(tmp_path_factory.mktemp("models") / "words")


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A file that is not square."""
    file = tmp_path / "picture.png"
    Image.new("RGB", (20, 12), (200, 20, 20)).save(file)
    return file
