"""From a file that the authors of a system published to a model: recognise, build, fill, and account for every key."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from torch import Tensor, nn

from limner.decode.decoder import Decoder
from limner.errors import CheckpointError, InputError
from limner.generators.generator import Generator
from limner.models.class_to_image import ClassToImage
from limner.store import official
from limner.store.origin import Origin
from limner.store.release import KeyReport, Names, Release, State, fill, official_name, read_state
from limner.tokenizers.tokenizer import QuantizingTokenizer


class Released(NamedTuple):
    """A model from an official file: the file's tensors, what it was recognised as, what became of its keys, and those
    passed over that are needed to recognise it again; ``side`` if it was given, ``decoder`` of a generator."""

    model: nn.Module
    state: State
    release: Release
    report: KeyReport
    kept: State
    side: int | None
    decoder: Callable[[Generator], Decoder] | None


def releases() -> list[Release]:
    """Every release that limner knows, in order of the modules of ``limner.store.official``."""
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


def load_released(path: Path, *, trust: bool = False, side: int | None = None) -> Released:
    """The model of an official file, in evaluation mode, in fp32, on the CPU.

    ``side``: tokens on a side of its pictures, where the file does not tell; None takes the usual number. Raises
    `InputError` if there is no such file or if it tells its side, and `CheckpointError` if it cannot be read, is no
    release that limner knows, or holds keys or shapes that do not fit.
    """
    state: State = read_state(path, trust=trust)
    release = recognise(state, path)
    if release.beside is not None:
        state = {**release.beside(path), **state}
    return _filled(release, state, release.prepared(state), side)


def class_drawer(released: Released, tokenizer: nn.Module, source: object) -> ClassToImage:
    """A released generator and its tokenizer, drawing as its authors do; raises `InputError` if the model draws
    nothing, or if the tokenizer (from ``source``) is none, or not the one that it learned from."""
    release, generator = released.release, released.model
    if release.draws is None or released.decoder is None or not isinstance(generator, Generator):
        raise InputError(f"a {release.system} {release.kind} draws nothing: leave the tokenizer out")
    wanted = " or ".join(release.draws.tokenizers)
    if not isinstance(tokenizer, QuantizingTokenizer):
        raise InputError(f"{source} is no tokenizer: a {release.system} draws with that of {wanted}")
    origin = getattr(tokenizer, "origin", None)
    system = origin.card.get("release", {}).get("system") if isinstance(origin, Origin) else None
    if system is not None and system not in release.draws.tokenizers:
        raise InputError(f"{source} is the tokenizer of {system}, but a {release.system} draws with that of {wanted}")
    if release.draws.attach is not None:
        release.draws.attach(generator, tokenizer)
    return ClassToImage(generator, tokenizer, decoder=released.decoder).eval()


def side_wanted(released: Released) -> int | None:
    """Tokens on a side that a generator's tokenizer is to be built for; None if its own weights tell."""
    draws, generator = released.release.draws, released.model
    return draws.side(generator) if draws is not None and isinstance(generator, Generator) else None


def to_save(model: nn.Module, names: Names, loaded: Sequence[str], kept: State) -> dict[str, Tensor]:
    """Tensors of a released model as `load_saved` reads them: prepared, under the authors' names."""
    own = model.state_dict()
    tensors = {**kept, **{official_name(name, names): own[name] for name in loaded}}
    return {key: value.contiguous().clone() for key, value in tensors.items()}  # shared memory cannot be saved


def load_saved(state: State, signature: Sequence[str], source: Path, *, side: int | None = None) -> Released:
    """The model whose tensors `to_save` gave, of the release with this signature; raises `CheckpointError`
    if there is none, or if the tensors do not fit."""
    for release in releases():
        if release.signature == tuple(signature):
            return _filled(release, state, state, side)
    raise CheckpointError(f"{source} holds weights of a release that this limner does not know: update it")


def _filled(release: Release, state: State, prepared: State, side: int | None) -> Released:
    if side is None:
        model = release.build(prepared)
    elif release.sided is None:
        raise InputError(
            f"the weights of a {release.system} {release.kind} tell how large it is: leave the side out, or give the "
            "tokenizer that belongs to the generator"
        )
    elif side < 1:
        raise InputError(f"{side} tokens on a side cannot be: give at least 1")
    else:
        model = release.sided(prepared, side)
    report = fill(model, prepared, release.names, skip=release.skip)
    # Copies: one view would keep the whole file in memory.
    kept = {key: prepared[key].clone() for key in report.skipped if release.keeps(key)}
    decoder = None if release.draws is None else release.draws.decoder(prepared)
    if side is None and release.sided is not None and release.draws is not None and isinstance(model, Generator):
        side = release.draws.side(model)  # what it was read from may be no weight, and is not saved
    return Released(model.float().eval().requires_grad_(False), state, release, report, kept, side, decoder)
