"""Weights as their authors released them: what tells one release from another, and how its tensors find their places.

Every ``limner.store.official`` module ends in ``RELEASES``. A release says which keys are its own, what model they
make (sizes are read from shapes wherever shapes tell), and what our parameters are called there.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeAlias

from torch import Tensor, nn

from limner.decode.decoder import Decoder
from limner.errors import CheckpointError
from limner.generators.generator import Generator
from limner.nn.weights import buildable, contradictions, misfits
from limner.store.described import CONFIG
from limner.tokenizers.tokenizer import QuantizingTokenizer

State: TypeAlias = Mapping[str, Tensor]
Names: TypeAlias = tuple[tuple[str, str], ...]
STATE = "the official state"


def side_of(generator: Generator) -> int:
    """Tokens on a side of a generator of one square grid."""
    return math.isqrt(generator.count)


@dataclass(frozen=True)
class Draws:
    """How the pictures of a released generator come about.

    Args:
        tokenizers: systems whose released tokenizers made the tokens that it learned.
        decoder: of a prepared state dict, how the authors decode its generator.
        side: tokens on a side of a generator's finest grid, for a tokenizer whose weights do not tell; None where they
            do.
        attach: tells a generator of its tokenizer, where it reads it.
    """

    tokenizers: tuple[str, ...]
    decoder: Callable[[State], Callable[[Generator], Decoder]]
    side: Callable[[Generator], int | None] = side_of
    attach: Callable[[Generator, QuantizingTokenizer], None] | None = None


@dataclass(frozen=True)
class Release:
    """What the authors of a system published.

    Args:
        system: id in the catalogue; of the few that others build on and that are no row of it, their name.
        kind: what the weights are, for people: ``"generator"``, ``"tokenizer"``.
        signature: keys that together only this release has; a ``*`` in one stands for anything, and ``key[256]`` is
            of a tensor with as many rows, where a release has the keys of another.
        build: the freshly initialised model of a state dict; raises `CheckpointError` where shapes contradict.
        names: pairs of a pattern in our parameter's name and its replacement; all that fit are applied in turn, and the
            result is the authors' name.
        skip: pattern of the authors' keys that hold nothing of the model: discriminators, tables that are computed.
        prepare: the state dict with tensors split or joined as ours are; None where they are as ours.
        sided: as ``build``, for so many tokens on a side; None where weights tell.
        draws: of a generator.
        beside: tensors of what the authors wrote beside a file, where that is needed to build the model; they are
            skipped, and kept with the weights.
    """

    system: str
    kind: str
    signature: tuple[str, ...]
    build: Callable[[State], nn.Module]
    names: Names
    skip: str = r"(?!)"
    prepare: Callable[[State], State] | None = None
    sided: Callable[[State, int], nn.Module] | None = None
    draws: Draws | None = None
    beside: Callable[[Path], State] | None = None

    def fits(self, state: State) -> bool:
        """Does a state dict hold every key of the signature?"""
        return not self.lacking(state)

    def lacking(self, state: State) -> list[str]:
        """Entries of the signature that a state dict does not meet."""
        return [entry for entry in self.signature if not _meets(state, *_signed(entry))]

    def keeps(self, key: str) -> bool:
        """Is a key that holds nothing of the model saved with it: one of the signature, or of what was beside?"""
        return (
            key == CONFIG
            or self.beside is not None
            or any(_matches(_signed(entry)[0], key) for entry in self.signature)
        )

    def prepared(self, state: State) -> State:
        """A state dict as ``build`` reads it; raises `CheckpointError` if it lacks what is split or joined."""
        with contradictions(STATE):
            return state if self.prepare is None else self.prepare(state)

    def fill(self, model: nn.Module, state: State) -> KeyReport:
        """Load a state dict of the authors into a model of its sizes; errors as those of `fill`."""
        return fill(model, self.prepared(state), self.names, skip=self.skip)

    def load(self, state: State) -> nn.Module:
        """The model of a state dict of the authors; raises `CheckpointError` where it does not fit."""
        return self.model(self.prepared(state))[0]

    def model(self, prepared: State, side: int | None = None) -> tuple[nn.Module, KeyReport]:
        """The model of a prepared state dict, for so many tokens on a side where that is given, and what became of the
        keys; errors as those of `fill`."""
        with buildable(STATE, sum(tensor.numel() for tensor in prepared.values())):
            model = self.build(prepared) if side is None or self.sided is None else self.sided(prepared, side)
        return model, fill(model, prepared, self.names, skip=self.skip)


def _signed(entry: str) -> tuple[str, int | None]:
    """Key of a signature, and how many rows its tensor has where that tells."""
    key, _, rows = entry.removesuffix("]").partition("[")
    return key, int(rows) if rows else None


def _matches(key: str, name: str) -> bool:
    return re.fullmatch(re.escape(key).replace(r"\*", ".*"), name) is not None


def _meets(state: State, key: str, rows: int | None) -> bool:
    found = [name for name in state if _matches(key, name)] if "*" in key else [key] if key in state else []
    return any(rows is None or state[name].shape[:1] == (rows,) for name in found)


class KeyReport(NamedTuple):
    """What became of every key of a file: our names of those loaded, the authors' names of those passed over."""

    loaded: tuple[str, ...]
    skipped: tuple[str, ...]


def official_name(name: str, names: Names) -> str:
    """What the authors call a parameter of ours."""
    for ours, theirs in names:
        name = re.sub(ours, theirs, name)
    return name


def fill(model: nn.Module, state: State, names: Names, *, skip: str = r"(?!)") -> KeyReport:
    """Load an official state dict, every parameter of ours and those buffers that it has; raises `CheckpointError`
    naming every key or shape that does not fit, and changes nothing then."""
    theirs = official_names(model, state, names)
    own = model.state_dict()
    found = {key: value for key, value in state.items() if not _skipped(key, skip)}
    if problems := misfits({key: own[name] for name, key in theirs.items()}, found):
        raise CheckpointError(f"{STATE} does not fit: {problems}: give the sizes it was trained with")
    model.load_state_dict({name: state[key] for name, key in theirs.items()}, strict=False)
    return KeyReport(tuple(theirs), tuple(key for key in state if _skipped(key, skip)))


def _skipped(key: str, skip: str) -> bool:
    return key == CONFIG or re.search(skip, key) is not None


def official_names(model: nn.Module, state: State, names: Names) -> dict[str, str]:
    """What the authors call every parameter of ours, and those buffers that a state dict has."""
    buffers = {name for name, _ in model.named_buffers()}
    theirs = {name: official_name(name, names) for name in model.state_dict()}
    return {name: key for name, key in theirs.items() if name not in buffers or key in state}


def depth_of(state: State, stack: str) -> int:
    """How many blocks ``stack.0 .. stack.n`` a state dict holds; raises `CheckpointError` if one between is missing."""
    found = {key.removeprefix(f"{stack}.").split(".")[0] for key in state if key.startswith(f"{stack}.")}
    numbers = {int(number) for number in found if number.isdecimal()}
    depth = max(numbers, default=-1) + 1
    if len(numbers) < depth:
        missing = next(number for number in range(depth) if number not in numbers)
        raise CheckpointError(f"the state lacks {depth - len(numbers)} of {depth} {stack}, such as {stack}.{missing}")
    return depth
