"""From a file that the authors of a system published to a model: recognise, build, fill, and account for every key."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from torch import Tensor, nn

from limner.decode.decoder import Decoder
from limner.errors import CheckpointError, InputError
from limner.generators.generator import Generator
from limner.models.class_to_image import ClassToImage
from limner.nn.tensor_files import read_tensors
from limner.nn.weights import listed
from limner.store import official
from limner.store.described import config_beside
from limner.store.origin import Origin
from limner.store.release import KeyReport, Names, Release, State, official_name
from limner.tokenizers.tokenizer import QuantizingTokenizer

LEVELS = 4  # of a prefix
AVERAGED = re.compile(r"(^|[._])(ema|averaged|shadow)[._]")  # in a prefix


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
    elsewhere: tuple[str, ...] = ()  # keys of the file that lie beside the model: of an optimizer, of another model


def releases() -> list[Release]:
    """Every release that limner knows, in order of the modules of ``limner.store.official``."""
    modules = sorted(module.name for module in pkgutil.iter_modules(official.__path__))
    return [release for name in modules for release in importlib.import_module(f"{official.__name__}.{name}").RELEASES]


class Recognised(NamedTuple):
    """A release, its state dict in a file, and the prefix of its keys there."""

    release: Release
    state: State
    prefix: str


def recognise(state: State, source: Path) -> Release:
    """The release of a state dict; errors as those of `recognise_below`."""
    return recognise_below(state, source).release


def recognise_below(tensors: State, source: Path) -> Recognised:
    """The release whose signature the tensors of a file bear, as they are or below a prefix: averaged weights before
    those last trained, then the shortest prefix, then the longest signature.

    Raises `CheckpointError` if there is none, naming what the likeliest lacks, or else all that are known.
    """
    known = releases()
    for prefix, state in _below_prefixes(tensors):
        if fitting := [release for release in known if release.fits(state)]:
            return Recognised(max(fitting, key=lambda release: len(release.signature)), state, prefix)
    near = [(release, release.lacking(state)) for _, state in _below_prefixes(tensors) for release in known]
    likeliest, lacking = max(near, key=lambda one: 1 - len(one[1]) / len(one[0].signature))
    if 2 * len(lacking) <= len(likeliest.signature):
        raise CheckpointError(
            f"{source} looks like a {likeliest.system} {likeliest.kind}, but lacks {len(lacking)} of the "
            f"{len(likeliest.signature)} keys by which one is known: {listed(lacking)}: give a whole file"
        )
    names = ", ".join(sorted({f"{release.system} {release.kind}" for release in known}))
    raise CheckpointError(f"{source} is no release that limner knows: it reads {names}")


def _below_prefixes(tensors: State) -> list[tuple[str, State]]:
    """The tensors as they are, and those below each prefix, in the order of `recognise_below`."""
    below: dict[str, dict[str, Tensor]] = {"": {}}
    for key, value in tensors.items():
        levels = key.split(".")
        for depth in range(min(len(levels), LEVELS + 1)):
            prefix = "".join(f"{level}." for level in levels[:depth])
            below.setdefault(prefix, {})[key.removeprefix(prefix)] = value
    order = sorted(below, key=lambda prefix: (AVERAGED.search(prefix) is None, prefix.count(".")))
    return [(prefix, below[prefix]) for prefix in order]


def load_released(path: Path, *, side: int | None = None) -> Released:
    """The model of an official file, in evaluation mode, in fp32, on the CPU.

    ``side``: tokens on a side of its pictures, where the file does not tell; None takes the usual number. Raises
    `InputError` if there is no such file or if it tells its side, and `CheckpointError` if it cannot be read, is no
    release that limner knows, or holds keys, shapes or values that do not fit.
    """
    tensors = read_tensors(path)
    release, state, prefix = recognise_below(tensors, path)
    state = {**(release.beside or config_beside)(path), **state}
    try:
        released = _filled(release, state, release.prepared(state), side)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None
    elsewhere = tuple(key for key in tensors if not key.startswith(prefix))
    return released._replace(elsewhere=elsewhere)


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
    if side is not None and release.sided is None:
        raise InputError(
            f"the weights of a {release.system} {release.kind} tell how large it is: leave the side out, or give the "
            "tokenizer that belongs to the generator"
        )
    if side is not None and side < 1:
        raise InputError(f"{side} tokens on a side cannot be: give at least 1")
    model, report = release.model(prepared, side)
    # Copies: one view would keep the whole file in memory.
    kept = {key: prepared[key].clone() for key in report.skipped if release.keeps(key)}
    decoder = None if release.draws is None else release.draws.decoder(prepared)
    if side is None and release.sided is not None and release.draws is not None and isinstance(model, Generator):
        side = release.draws.side(model)  # what it was read from may be no weight, and is not saved
    return Released(model.float().eval().requires_grad_(False), state, release, report, kept, side, decoder)
