"""Weights that authors published, as models and as model folders: their keys stay the authors'.

    load_published(path)     a file, or a folder that `convert` made, as a model; with a tokenizer, one that draws
    convert(file, folder)    the same weights as safetensors, with a card

Which release a file is, `limner.store.released` recognises by its keys.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from limner.models.class_to_image import ClassToImage
from limner.store.files import RELEASE, TOKENIZER, WEIGHTS, checked_weights, read_card, write
from limner.store.knobs import CARD
from limner.store.origin import Origin, origin_of, remember
from limner.store.release import Names, State
from limner.store.released import Released, class_drawer, load_released, load_saved, side_wanted, to_save

SIGNATURE = "signature"  # in the card of a release whose weights were saved by us: by what it is known
SIDE = "side"  # in the card of a release whose weights do not determine it, if it was given
Load = Callable[[Path], nn.Module]  # of a folder of ours


def load_published(path: Path, tokenizer: Path | nn.Module | None, *, side: int | None, load: Load) -> nn.Module:
    """The model of a published file, or of the folder of one.

    Args:
        path: file or folder.
        tokenizer: of a generator, which then draws; without one, that which the folder carries, if any.
        side: see `limner.load`.
        load: reads a tokenizer that is a folder of ours.
    """
    if tokenizer is None and (path / TOKENIZER / CARD).is_file():
        tokenizer = path / TOKENIZER
    released = read_published(path, side)
    model = with_origin(released)
    if tokenizer is None:
        return model
    if isinstance(tokenizer, nn.Module):
        drawer = class_drawer(released, tokenizer, f"a {type(tokenizer).__name__}")
    else:
        drawer = class_drawer(released, _tokenizer(tokenizer, released, load), tokenizer)
    return remember(drawer, Origin(origin_of(model).card, "", _write_drawer))


def is_published(path: Path) -> bool:
    """Is it a file, or a folder whose card names a release?"""
    return path.is_file() or RELEASE in read_card(path)


def _tokenizer(path: Path, released: Released, load: Load) -> nn.Module:
    return with_origin(read_published(path, side_wanted(released))) if is_published(path) else load(path)


def read_published(path: Path, side: int | None) -> Released:
    """The release in a file, or in the folder of one."""
    if path.is_file():
        return load_released(path, side=side)
    card = read_card(path)
    side = card[RELEASE].get(SIDE) if side is None else side
    weights = checked_weights(path, card)
    if signature := card[RELEASE].get(SIGNATURE):
        return load_saved(weights, signature, path, side=side)
    return load_released(path / WEIGHTS, side=side)


def convert(source: Path, folder: Path, *, side: int | None = None, tokenizer: Path | None = None) -> Released:
    """Turn a file that the authors of a system published into a model folder: its weights, under the authors' names,
    as safetensors, and a card; with a ``tokenizer``, one that draws. Errors as those of `load` and `save`."""
    released = load_released(source, side=side)
    other = None if tokenizer is None else load_released(tokenizer, side=side_wanted(released))
    if other is not None:
        class_drawer(released, with_origin(other), tokenizer)  # do they belong together?
    _write_official(released, folder)  # removes the tokenizer of a model that was here before
    if other is not None:
        _write_official(other, folder / TOKENIZER)
    return released


def _write_official(released: Released, folder: Path) -> None:
    release, skipped = released.release, released.report.skipped
    kept = {key: value for key, value in released.state.items() if key not in skipped or release.keeps(key)}
    tensors = {key: value.contiguous().clone() for key, value in kept.items()}  # shared memory cannot be saved
    write(folder, tensors, _release_card(released), {})


def _release_card(released: Released) -> dict[str, Any]:
    system, kind = released.release.system, released.release.kind
    side = {} if released.side is None else {SIDE: released.side}
    return {"recipe": f"official/{system}", "knobs": {}, RELEASE: {"system": system, "kind": kind, **side}}


def with_origin(released: Released) -> nn.Module:
    """The model of a release, which `limner.save` can save."""
    card = _release_card(released)
    card[RELEASE] |= {SIGNATURE: list(released.release.signature)}
    write_it = partial(_write_released, card, released.release.names, released.report.loaded, released.kept)
    return remember(released.model, Origin(card, "", write_it))


def _write_drawer(model: nn.Module, folder: Path) -> Path:
    assert isinstance(model, ClassToImage)
    tokenizer = model.tokenizer
    assert isinstance(tokenizer, nn.Module)
    origins = origin_of(model.generator), origin_of(tokenizer)
    origins[0].write(model.generator, folder)  # removes the tokenizer of a model that was here before
    origins[1].write(tokenizer, folder / TOKENIZER)
    return folder


def _write_released(
    card: dict[str, Any], names: Names, loaded: Sequence[str], kept: State, model: nn.Module, folder: Path
) -> Path:
    return write(folder, to_save(model, names, loaded, kept), card, {})
