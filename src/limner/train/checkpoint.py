"""Checkpoints that survive a kill: written aside, fsynced, renamed, manifest last, the newest two kept.

A checkpoint is a folder ``images-000050000000/`` of safetensors and JSON. Its ``manifest.json`` names the SHA-256 of
every file and is written last, so a folder without one is an unfinished save and is passed over. Nothing is pickled.
Folders of other names, and folders that hold anything else, are somebody's: they are neither read nor deleted.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from limner.errors import CheckpointError

MANIFEST = "manifest.json"
STATE = "state.json"
TENSORS = ".safetensors"
KEEP = 2
NAME = re.compile(r"images-(\d{12})")
LEFTOVER = re.compile(r"\.(writing|replaced)-\d{12}")


def file_hash(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def save(
    run: Path,
    images: int,
    tensors: dict[str, dict[str, Tensor]],
    state: dict[str, Any],
    distrusted: Collection[Path] = (),
) -> Path:
    """Write checkpoint ``images`` of a run; returns its folder. A save that fails changes nothing.

    Args:
        run: folder of the run.
        images: progress, which names and orders checkpoints.
        tensors: one safetensors file per entry, ``{"model": {"name": tensor}}``.
        state: whatever else the loop needs, as JSON.
        distrusted: checkpoints that could not be resumed, which make room.

    Raises `OSError` if it cannot be written; where the disk is full, the older of two checkpoints makes room first.
    """
    final = run / f"images-{images:012d}"
    if final.exists() and final not in distrusted and damage(final) is None and images_of(final) == images:
        return final
    aside, replaced = run / f".writing-{images:012d}", run / f".replaced-{images:012d}"
    _clear(run)
    try:
        _write(aside, images, tensors, state)
    except OSError as error:
        _clear(run)
        older = complete(run)[:-1]
        if error.errno not in (errno.ENOSPC, errno.EDQUOT) or not older:
            raise
        _remove(older[0])
        return save(run, images, tensors, state, distrusted)
    if final.exists():
        final.rename(replaced)
    aside.rename(final)
    sync(run)
    _clear(run)
    _make_room(run, final, distrusted)
    return final


def _write(aside: Path, images: int, tensors: dict[str, dict[str, Tensor]], state: dict[str, Any]) -> None:
    aside.mkdir(parents=True)
    for name, group in tensors.items():
        try:
            save_file({key: value.detach().contiguous() for key, value in group.items()}, aside / f"{name}{TENSORS}")
        except SafetensorError as error:
            code = re.search(r"os error (\d+)", str(error))
            raise OSError(int(code[1]) if code else errno.EIO, str(error)) from None
    (aside / STATE).write_text(json.dumps(state, indent=1), encoding="utf-8")
    manifest = {path.name: file_hash(path) for path in sorted(aside.iterdir())}
    for path in aside.iterdir():
        sync(path)
    (aside / MANIFEST).write_text(json.dumps({"images": images, "files": manifest}, indent=1), encoding="utf-8")
    sync(aside / MANIFEST)
    sync(aside)


def _make_room(run: Path, final: Path, distrusted: Collection[Path]) -> None:
    """Delete what ``final`` makes superfluous: older ones, and those beyond it, which were passed over when the run
    went back before them."""
    kept = [folder for folder in complete(run) if folder not in distrusted or folder == final]
    here = kept.index(final)
    for folder in {*kept[: max(here + 1 - KEEP, 0)], *kept[here + 1 :], *distrusted} - {final}:
        if folder.is_dir():
            _remove(folder)


def _clear(run: Path) -> None:
    """Remove what a save that was cut left behind."""
    for folder in run.glob(".*-*"):
        if LEFTOVER.fullmatch(folder.name) and folder.is_dir():
            _remove(folder)


def _remove(folder: Path) -> None:
    """Delete a folder of ours; one that holds anything else moves out of the way."""
    if _is_ours(folder):
        shutil.rmtree(folder)
        return
    number = 1
    while (kept := folder.with_name(f"{folder.name.lstrip('.')}.kept-{number}")).exists():
        number += 1
    folder.rename(kept)


def _is_ours(folder: Path) -> bool:
    return not folder.is_symlink() and all(
        path.is_file() and not path.is_symlink() and (path.suffix == TENSORS or path.name in (STATE, MANIFEST))
        for path in folder.iterdir()
    )


def images_of(folder: Path) -> int:
    """Progress of a finished checkpoint by its manifest; by its name, if the manifest cannot be read."""
    try:
        return int(_manifest(folder)["images"])
    except CheckpointError:
        return int(folder.name.rpartition("-")[2])


def complete(run: Path) -> list[Path]:
    """Folders of the finished checkpoints of a run, oldest first, whatever their names say."""
    folders = [path.parent for path in run.glob(f"images-*/{MANIFEST}") if NAME.fullmatch(path.parent.name)]
    return sorted(folders, key=lambda folder: (images_of(folder), folder.name))


def _manifest(folder: Path) -> dict[str, Any]:
    """The parsed manifest; raises `CheckpointError` if it is none."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        images, files = manifest["images"], manifest["files"]
        sound = type(images) is int and images >= 0 and all(type(value) is str for value in files.values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        sound = False
    if not sound:
        raise CheckpointError(f"{MANIFEST} is unreadable")
    if any(name != Path(name).name for name in files):
        raise CheckpointError(f"{MANIFEST} names files outside the folder")
    there = {path.name for path in folder.iterdir() if path.suffix == TENSORS}
    for name in sorted({STATE, *there} - files.keys()):
        raise CheckpointError(f"{MANIFEST} lacks {name}")
    return dict(manifest)


def _checked(folder: Path) -> dict[str, Any]:
    """The state of a checkpoint; raises `CheckpointError`, in a few words, if a byte of it changed."""
    manifest = _manifest(folder)
    own = f"images-{manifest['images']:012d}"
    if NAME.fullmatch(folder.name) and folder.name != own and not (folder.parent / own).is_dir():
        raise CheckpointError(f"{MANIFEST} is that of {manifest['images']} images")  # exchanged folders are read
    for name, expected in manifest["files"].items():
        path = folder / name
        if not path.is_file():
            raise CheckpointError(f"{name} is missing")
        if file_hash(path) != expected:
            raise CheckpointError(f"{name} has changed since it was written")
    try:
        state = json.loads((folder / STATE).read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        state = None
    if not isinstance(state, dict) or state.get("images", manifest["images"]) != manifest["images"]:
        raise CheckpointError(f"{STATE} is not that of {manifest['images']} images")
    return state


def damage(folder: Path) -> str | None:
    """What is wrong with a checkpoint, or None if every file has the hash that its manifest names."""
    try:
        _checked(folder)
    except CheckpointError as error:
        return str(error)
    return None


def load(folder: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """Tensors and state of one checkpoint; raises `CheckpointError` if a byte of it changed."""
    try:
        state = _checked(folder)
        names = [name for name in _manifest(folder)["files"] if name.endswith(TENSORS)]
        return {Path(name).stem: load_file(folder / name) for name in names}, state
    except (CheckpointError, SafetensorError, OSError) as error:
        raise CheckpointError(f"{folder}: {error}; delete the folder to fall back to the one before it") from None


def newest(run: Path) -> tuple[Path | None, list[str]]:
    """The newest undamaged checkpoint of a run (None if there is none) and a note on each damaged one passed over."""
    notes = []
    for folder in reversed(complete(run)):
        if problem := damage(folder):
            notes.append(f"{folder.name}: {problem}; using the checkpoint before it")
        else:
            return folder, notes
    return None, notes
