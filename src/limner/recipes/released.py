"""From a file that the authors of a system published to a model: recognise, build, fill, and account for every key."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from torch import Tensor, nn

from limner.errors import CheckpointError
from limner.recipes import official
from limner.recipes.release import Names, Release, Report, State, fill, official_name, read_state


class Released(NamedTuple):
    """A model from an official file: the file's tensors, what it was recognised as, what became of its keys, and those
    passed over that are needed to recognise it again."""

    model: nn.Module
    state: State
    release: Release
    report: Report
    kept: State


def releases() -> list[Release]:
    """Every release that limner knows, in order of the modules of ``limner.recipes.official``."""
    modules = sorted(module.name for module in pkgutil.iter_modules(official.__path__))
    return [release for name in modules for release in importlib.import_module(f"{official.__name__}.{name}").RELEASES]


def recognise(state: State, source: Path) -> Release:
    """The release whose signature a state dict bears; of several the one with the longest. Raises `CheckpointError`
    naming all that are known if there is none."""
    known = releases()
    fitting = [release for release in known if release.fits(state)]
    if not fitting:
        names = ", ".join(sorted({f"{release.system} {release.kind}" for release in known}))
        raise CheckpointError(f"{source} is no release that limner knows: it reads {names}")
    return max(fitting, key=lambda release: len(release.signature))


def load_released(path: Path, *, trust: bool = False) -> Released:
    """The model of an official file, in evaluation mode, in fp32, on the CPU.

    Raises `InputError` if there is no such file, and `CheckpointError` if it cannot be read, is no release that limner
    knows, or holds keys or shapes that do not fit.
    """
    state = read_state(path, trust=trust)
    release = recognise(state, path)
    return _filled(release, state, state if release.prepare is None else release.prepare(state))


def to_save(model: nn.Module, names: Names, loaded: Sequence[str], kept: State) -> dict[str, Tensor]:
    """Tensors of a released model as `load_saved` reads them: prepared, under the authors' names."""
    own = model.state_dict()
    tensors = {**kept, **{official_name(name, names): own[name] for name in loaded}}
    return {key: value.contiguous().clone() for key, value in tensors.items()}  # shared memory cannot be saved


def load_saved(state: State, signature: Sequence[str], source: Path) -> Released:
    """The model whose tensors `to_save` gave, of the release with this signature; raises `CheckpointError`
    if there is none, or if the tensors do not fit."""
    for release in releases():
        if release.signature == tuple(signature):
            return _filled(release, state, state)
    raise CheckpointError(f"{source} holds weights of a release that this limner does not know: update it")


def _filled(release: Release, state: State, prepared: State) -> Released:
    model = release.build(prepared)
    report = fill(model, prepared, release.names, skip=release.skip)
    kept = {key: prepared[key] for key in report.skipped if release.bears(key)}
    return Released(model.float().eval().requires_grad_(False), state, release, report, kept)
