"""The zoo: every recipe at tiny knobs, trained for two steps once per session and saved under the names that ship."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from limner.catalogue.recipes import find_recipes

SHORT = {"images": 16, "batch": 8, "warmup": 8, "ema": 8, "sample_every": 10**6, "checkpoint_every": 10**6}
RECIPES = tuple(entry.path for entry in find_recipes() if entry.trains)


def name_of(path: str) -> str:
    """The name under which a recipe's model ships: ``vae-64``, ``mar-emoji-64``; judges have no size."""
    family, _, stem = path.partition("/")
    if path in ("encoders/features", "encoders/recogniser"):
        return stem
    return stem.replace("_", "-") + ("-emoji-64" if family == "generators" else "-64")


PATHS = {name_of(path): path for path in RECIPES}


class Trained(NamedTuple):
    """A tiny recipe after two steps: the run, its folder, and the folder of the saved model."""

    recipe: Any
    knobs: Any
    run: Any
    directory: Path
    folder: Path
    name: str


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where tiny models lie under the names that ship."""
    return tmp_path_factory.mktemp("weights")


@pytest.fixture(autouse=True)
def tiny_models_ship(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In these tests ``vae-64`` is a tiny one."""
    monkeypatch.setenv("LIMNER_WEIGHTS", str(weights))


@pytest.fixture(scope="session")
def trained(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Trained]:
    """The tiny model of a recipe, trained and saved when it is first asked for."""
    import torch

    from limner.lessons import conversations
    from limner.store.folder import find_recipe, save
    from limner.train import loop

    kept: dict[str, Trained] = {}

    def get(path: str) -> Trained:
        if path in kept:
            return kept[path]
        name, recipe = name_of(path), find_recipe(path)
        directory = tmp_path_factory.mktemp(name)
        knobs = recipe.knobs(**{**SHORT, **recipe.tiny}, out=directory, threads=1)
        for value in asdict(knobs).values():  # a tokenizer that it draws with or learns from
            if isinstance(value, str) and value in PATHS:
                get(PATHS[value])
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("LIMNER_WEIGHTS", str(weights))
            patch.setattr(conversations, "READ", 50)
            torch.manual_seed(0)
            run = loop.train(recipe.task(knobs), knobs, directory, bar=False)
        facts = {"images": run.images, "steps": run.steps, "commit": None}
        folder = save(run.average.model, weights / name, recipe=path, knobs=knobs, facts=facts)
        kept[path] = Trained(recipe, knobs, run, directory, folder, name)
        return kept[path]

    return get


@pytest.fixture
def shipped(trained: Callable[[str], Trained]) -> Callable[..., None]:
    """Makes tiny models available under their names: ``shipped("tokenizers/vae", "encoders/features")``."""

    def make(*paths: str) -> None:
        for path in paths:
            trained(path)

    return make


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """A folder of ten small pictures with captions."""
    folder = tmp_path / "album"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number, thing in enumerate(("cat", "dog", "tree", "hill", "lake") * 2):
        pixels = np.kron(rng.integers(0, 255, (5, 5, 3), np.uint8), np.ones((8, 9, 1), np.uint8))
        Image.fromarray(pixels).save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text(f"a {thing} in the rain")
    return folder
