"""Checkpoints that survive a kill: written aside, fsynced, renamed, manifest last, the newest two kept.

A checkpoint is a folder ``images-000050000/`` of safetensors and JSON. Its ``manifest.json`` names the SHA-256 of
every file and is written last, so a folder without one is an unfinished save and is passed over. Nothing is pickled.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from limner.errors import CheckpointError

MANIFEST = "manifest.json"
KEEP = 2


def file_hash(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def save(run: Path, images: int, tensors: dict[str, dict[str, Tensor]], state: dict[str, Any]) -> Path:
    """Write checkpoint ``images`` of a run; returns its folder.

    Args:
        run: folder of the run.
        images: progress, which names and orders checkpoints.
        tensors: one safetensors file per entry, ``{"model": {"name": tensor}}``.
        state: whatever else the loop needs, as JSON.
    """
    final = run / f"images-{images:012d}"
    if final.exists() and damage(final) is None:
        return final
    aside = run / f".writing-{images:012d}"
    for leftover in (*run.glob(".writing-*"), final):
        shutil.rmtree(leftover, ignore_errors=True)
    aside.mkdir(parents=True)
    for name, group in tensors.items():
        save_file({key: value.detach().contiguous() for key, value in group.items()}, aside / f"{name}.safetensors")
    (aside / "state.json").write_text(json.dumps(state, indent=1))
    manifest = {path.name: file_hash(path) for path in sorted(aside.iterdir())}
    for path in aside.iterdir():
        _sync(path)
    (aside / MANIFEST).write_text(json.dumps({"images": images, "files": manifest}, indent=1))
    _sync(aside / MANIFEST)
    _sync(aside)
    aside.rename(final)
    _sync(run)
    finished = complete(run)
    here = finished.index(final)  # what lies beyond was damaged, or the run would not have gone back before it
    for folder in (*finished[: max(here + 1 - KEEP, 0)], *finished[here + 1 :]):
        shutil.rmtree(folder)
    return final


def complete(run: Path) -> list[Path]:
    """Folders of the finished checkpoints of a run, oldest first."""
    return sorted(path.parent for path in run.glob(f"images-*/{MANIFEST}"))


def damage(folder: Path) -> str | None:
    """What is wrong with a checkpoint, or None if every file has the hash that its manifest names."""
    try:
        files = json.loads((folder / MANIFEST).read_text())["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return f"{MANIFEST} is unreadable"
    for name, expected in files.items():
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        if file_hash(path) != expected:
            return f"{name} has changed since it was written"
    return None


def load(folder: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """Tensors and state of one checkpoint; raises `CheckpointError` if a byte of it changed."""
    if problem := damage(folder):
        raise CheckpointError(f"{folder}: {problem}; delete the folder to fall back to the one before it")
    names = json.loads((folder / MANIFEST).read_text())["files"]
    tensors = {Path(name).stem: load_file(folder / name) for name in names if name.endswith(".safetensors")}
    return tensors, json.loads((folder / "state.json").read_text())


def newest(run: Path) -> tuple[Path | None, list[str]]:
    """The newest undamaged checkpoint of a run (None if there is none) and a note on each damaged one passed over."""
    notes = []
    for folder in reversed(complete(run)):
        if problem := damage(folder):
            notes.append(f"{folder.name}: {problem}; using the checkpoint before it")
        else:
            return folder, notes
    return None, notes
