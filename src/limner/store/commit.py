"""A model folder changes from one model to another at one moment, wherever the writing is cut.

    prepare   .writing-weights.safetensors, .writing-tokenizer/ and, last, .writing-recipe.json, all on the disk
    commit    rename the weights: from here on the folder holds the new model
    finish    rename the tokenizer, then the card; whoever reads the folder after a cut does this first

A prepared card that names the SHA-256 of the folder's weights is a commit that was not finished; any other is a save
that was cut before, and is passed over.
"""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from pathlib import Path

from limner.store.knobs import ASIDE
from limner.train.checkpoint import file_hash, sync


def discard(folder: Path, *names: str) -> None:
    """Remove what a save that was cut before its commit prepared."""
    for name in names:
        path = folder / (ASIDE + name)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def commit(folder: Path, weights: str, card: str, *folders: str) -> None:
    """Put what was prepared in its place: ``weights`` and ``card`` are files, ``folders`` may have been prepared."""
    prepared = [folder / (ASIDE + name) for name in (weights, *folders, card)]
    for path in (path for path in prepared if path.exists()):
        for inside in (path, *path.rglob("*")):
            sync(inside)
    sync(folder)
    prepared[0].replace(folder / weights)
    finish(folder, weights, card, *folders)


def finish(folder: Path, weights: str, card: str, *folders: str) -> None:
    """Finish a commit that was cut after its weights; does nothing if there is none."""
    prepared = folder / (ASIDE + card)
    if not prepared.is_file() or not (folder / weights).is_file():
        return
    try:
        wanted = json.loads(prepared.read_text(encoding="utf-8")).get("weights")
    except (OSError, ValueError, AttributeError):
        return
    if wanted != file_hash(folder / weights):
        return
    for name in folders:
        if (folder / (ASIDE + name)).is_dir():
            shutil.rmtree(folder / name, ignore_errors=True)
            (folder / (ASIDE + name)).rename(folder / name)
            if not any((folder / name).iterdir()):  # the new model has none
                (folder / name).rmdir()
    with suppress(FileNotFoundError):  # a reader has finished it meanwhile
        prepared.replace(folder / card)
    sync(folder)
