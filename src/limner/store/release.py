"""Weights as their authors released them: what tells one release from another, and how its tensors find their places.

Every ``limner.store.official`` module ends in ``RELEASES``. A release says which keys are its own, what model they
make (sizes are read from shapes wherever shapes tell), and what our parameters are called there.
"""

from __future__ import annotations

import math
import pickle
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeAlias

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from limner.decode.decoder import Decoder
from limner.errors import CheckpointError, InputError
from limner.generators.generator import Generator
from limner.tokenizers.tokenizer import QuantizingTokenizer

State: TypeAlias = Mapping[str, Tensor]
Names: TypeAlias = tuple[tuple[str, str], ...]
CONTAINERS = ("model_ema", "ema", "model", "module", "state_dict")  # averaged weights before those last trained


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
        return all(
            any(pattern.fullmatch(key) and rows in (None, len(tensor)) for key, tensor in state.items())
            for pattern, rows in self._signature()
        )

    def keeps(self, key: str) -> bool:
        """Is a key that holds nothing of the model saved with it: one of the signature, or of what was beside?"""
        return self.beside is not None or any(pattern.fullmatch(key) for pattern, _ in self._signature())

    def prepared(self, state: State) -> State:
        """A state dict as ``build`` reads it."""
        return state if self.prepare is None else self.prepare(state)

    def fill(self, model: nn.Module, state: State) -> KeyReport:
        """Load a state dict of the authors into a model of its sizes; errors as those of `fill`."""
        return fill(model, self.prepared(state), self.names, skip=self.skip)

    def load(self, state: State) -> nn.Module:
        """The model of a state dict of the authors; raises `CheckpointError` where it does not fit."""
        model = self.build(self.prepared(state))
        self.fill(model, state)
        return model

    def _signature(self) -> list[tuple[re.Pattern[str], int | None]]:
        """Patterns of keys, and how many rows the tensor of each has where that tells."""
        found = []
        for entry in self.signature:
            key, _, rows = entry.removesuffix("]").partition("[")
            found.append((re.compile(re.escape(key).replace(r"\*", ".*")), int(rows) if rows else None))
        return found


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
    buffers = {name for name, _ in model.named_buffers()}
    own = {
        name: value
        for name, value in model.state_dict().items()
        if name not in buffers or official_name(name, names) in state
    }
    skipped = tuple(key for key in state if re.search(skip, key))
    state = {key: value for key, value in state.items() if key not in skipped}
    theirs = {name: official_name(name, names) for name in own}
    missing = sorted(set(theirs.values()) - state.keys())
    unknown = sorted(state.keys() - set(theirs.values()))
    wrong = [
        f"{key} is {list(state[key].shape)} and not {list(own[name].shape)}"
        for name, key in theirs.items()
        if key in state and state[key].shape != own[name].shape
    ]
    found = (("it lacks", missing), ("it has unknown", unknown), ("in shape", wrong))
    if parts := [f"{problem} {_listed(names)}" for problem, names in found if names]:
        raise CheckpointError(
            f"the official state does not fit: {'; '.join(parts)}: give the sizes it was trained with"
        )
    model.load_state_dict({name: state[key] for name, key in theirs.items()}, strict=False)
    return KeyReport(tuple(own), skipped)


def depth_of(state: State, stack: str) -> int:
    """How many blocks ``stack.0 .. stack.n`` a state dict holds."""
    numbers = [int(key.removeprefix(f"{stack}.").split(".")[0]) for key in state if key.startswith(f"{stack}.")]
    return max(numbers, default=-1) + 1


def read_state(path: Path, *, trust: bool = False) -> dict[str, Tensor]:
    """The tensors of a ``.safetensors``, ``.pt``, ``.pth`` or ``.bin`` file.

    Pickles are read as tensors and plain containers only, so that a file can run no code; ``trust`` reads anything.
    Raises `InputError` if there is no such file, `CheckpointError` if it cannot be read or holds no state dict.
    """
    if not path.is_file():
        raise InputError(f"{path} is no file: give the file of the weights")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=not trust, mmap=not trust)
    except pickle.UnpicklingError:
        raise CheckpointError(
            f"{path} holds more than tensors, and reading it could run code: if you trust its source, ask with trust"
        ) from None
    except (OSError, EOFError, RuntimeError, SafetensorError, ValueError) as error:
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise CheckpointError(f"{path} cannot be read ({reason}): download it again") from None
    for key in CONTAINERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path} holds a {type(content).__name__} and no state dict: give a file of weights")
    tensors = {str(key): value for key, value in content.items() if isinstance(value, Tensor)}
    if not tensors:
        raise CheckpointError(f"{path} holds no tensors: give a file of weights")
    return tensors


def _listed(names: list[str], limit: int = 8) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
