"""The zoo: every recipe at tiny knobs, trained for two steps once per session and saved under the names that ship."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

SHORT = {"images": 16, "batch": 8, "warmup": 8, "ema": 8, "sample_every": 10**6, "checkpoint_every": 10**6}
AUTOENCODER = {"size": 32, "widths": (8, 8, 8), "encoder_depths": (1, 1, 1), "decoder_depths": (1, 1, 1), "channels": 4}
TAUGHT = {"size": 16, "patch": 8, "width": 64, "depth": 1, "vocabulary": 512}
CAPTIONED = {"width": 64, "text_depth": 1, "text_length": 48, "vocabulary": 512, "scenes": 8}
SEEING = {
    "size": 16,
    "encoder_width": 64,
    "encoder_depth": 1,
    "width": 64,
    "depth": 1,
    "vocabulary": 384,
    "turns": 2,
}

# What makes a recipe tiny, and the name under which its model ships. A new recipe gets a row here.
TINY: dict[str, tuple[str, dict[str, Any]]] = {
    "encoders/clip": ("clip-64", {**TAUGHT, "text_width": 64, "text_depth": 1, "joint": 16}),
    "encoders/features": ("features", {"widths": (4, 4, 8), "depths": (0, 0, 0), "pooled": 8}),
    "encoders/recogniser": ("recogniser", {"widths": (8, 8), "name_dim": 8}),
    "encoders/siglip": ("siglip-64", {**TAUGHT, "text_width": 64, "text_depth": 1, "joint": 16}),
    "encoders/superclass": ("superclass-64", TAUGHT),
    "tokenizers/ae": ("ae-64", AUTOENCODER),
    "tokenizers/multiscale": ("multiscale-64", {**AUTOENCODER, "entries": 32, "sides": (1, 2, 4)}),
    "tokenizers/titok": (
        "titok-64",
        {"size": 32, "width": 64, "encoder_depth": 1, "decoder_depth": 1, "count": 6, "entries": 32, "channels": 4},
    ),
    "tokenizers/vae": ("vae-64", AUTOENCODER),
    "tokenizers/vq_vae": ("vq-vae-64", {**AUTOENCODER, "entries": 32}),
    "generators/acdit": ("acdit-emoji-64", {**CAPTIONED, "depth": 1, "block": 2, "head_steps": 3}),
    "generators/flowar": ("flowar-emoji-64", {**CAPTIONED, "depth": 1, "head_depth": 1, "head_steps": 3}),
    "generators/llamagen": ("llamagen-emoji-64", {**CAPTIONED, "depth": 1}),
    "generators/mar": (
        "mar-emoji-64",
        {**CAPTIONED, "encoder_depth": 1, "decoder_depth": 1, "head_width": 16, "head_depth": 1},
    ),
    "generators/maskgit": ("maskgit-emoji-64", {**CAPTIONED, "depth": 1}),
    "generators/nar": ("nar-emoji-64", {**CAPTIONED, "depth": 1}),
    "generators/rar": ("rar-emoji-64", {**CAPTIONED, "depth": 1}),
    "generators/raster": ("raster-emoji-64", {**CAPTIONED, "depth": 1}),
    "generators/var": ("var-emoji-64", {**CAPTIONED, "depth": 1}),
    "generators/xar": (
        "xar-emoji-64",
        {**CAPTIONED, "encoder_depth": 1, "decoder_depth": 1, "cell": 2, "head_steps": 3},
    ),
    "understanding/language_basis": ("language-basis-64", SEEING),
    "understanding/llava": ("llava-64", SEEING),
    "understanding/ovis": ("ovis-64", {**SEEING, "entries": 32}),
    "understanding/ross_basis": (
        "ross-basis-64",
        {**SEEING, "denoiser_width": 32, "denoiser_depth": 1, "draws": 1, "basis": "clusters", "entries": 32},
    ),
    "understanding/ross_d": ("ross-d-64", {**SEEING, "denoiser_width": 32, "denoiser_depth": 1, "draws": 2}),
    "understanding/ross_r": ("ross-r-64", SEEING),
    "unified/limner": (
        "limner-64",
        {
            **SEEING,
            "vocabulary": 512,
            "text_length": 48,
            "scenes": 8,
            "rank": 16,
            "head_width": 16,
            "head_depth": 1,
            "denoiser_width": 32,
        },
    ),
}
NEEDS = {
    "generators/acdit": "tokenizers/vae",
    "generators/flowar": "tokenizers/vae",
    "generators/llamagen": "tokenizers/vq_vae",
    "generators/mar": "tokenizers/vae",
    "generators/maskgit": "tokenizers/vq_vae",
    "generators/nar": "tokenizers/vq_vae",
    "generators/rar": "tokenizers/vq_vae",
    "generators/raster": "tokenizers/vq_vae",
    "generators/var": "tokenizers/multiscale",
    "generators/xar": "tokenizers/vae",
    "understanding/ross_basis": "tokenizers/vae",
    "understanding/ross_d": "tokenizers/vae",
    "unified/limner": "tokenizers/vae",
}


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

    from limner.recipes.understanding import asked
    from limner.store.folder import find_recipe, save
    from limner.train import loop

    kept: dict[str, Trained] = {}

    def get(path: str) -> Trained:
        if path in kept:
            return kept[path]
        if path in NEEDS:
            get(NEEDS[path])
        name, tiny = TINY[path]
        recipe = find_recipe(path)
        directory = tmp_path_factory.mktemp(name)
        knobs = recipe.knobs(**{**SHORT, **tiny}, out=directory, threads=1)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("LIMNER_WEIGHTS", str(weights))
            patch.setattr(asked, "READ", 50)
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
