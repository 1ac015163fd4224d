"""Tensors of a file become the weights of a model: all of them, or none and a sentence.

    every parameter has its tensor,   every tensor has its parameter,   shapes and kinds are equal,   values are finite

Every reader of weights comes here: folders of ours, files of authors, folders of transformers.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from limner.errors import CheckpointError, LimnerError

LISTED = 8  # keys that a sentence names
EXTRA = "_extra_state"  # what a module keeps beside its tensors, of any size
PARTS = 200_000  # parameters, buffers and modules that a model may have


def misfits(own: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str:
    """What keeps the tensors of a file from being a model's, in words; empty if nothing does.

    Args:
        own: tensors of the model, by their names in the file; values are compared with none on the meta device.
        found: tensors of the file.
    """
    both = [(key, own[key], found[key]) for key in own if key in found and not key.endswith(EXTRA)]
    shapes = [
        f"{key} is {list(read.shape)} and not {list(value.shape)}"
        for key, value, read in both
        if read.shape != value.shape
    ]
    kinds = [f"{key} is {_kind(read.dtype)}" for key, value, read in both if not alike(value.dtype, read.dtype)]
    broken = unsound({key: read for key, value, read in both if read.is_floating_point() and not value.is_meta})
    problems = (
        ("it lacks", sorted(own.keys() - found.keys())),
        ("it has unknown", sorted(found.keys() - own.keys())),
        ("in shape", shapes),
        ("in kind", kinds),
        ("NaN or infinity is in", broken),
    )
    return "; ".join(f"{problem} {listed(names)}" for problem, names in problems if names)


def alike(first: torch.dtype, second: torch.dtype) -> bool:
    """Are both of floating numbers, or both of integers or truths?"""
    return not (first.is_complex or second.is_complex) and first.is_floating_point == second.is_floating_point


def unsound(tensors: Mapping[str, Tensor]) -> list[str]:
    """Names of the tensors in which a value is NaN or infinite."""
    return [name for name, value in tensors.items() if not _finite(value)]


def _finite(value: Tensor) -> bool:
    if value.device.type == "meta" or not value.numel():
        return True
    if value.dtype.itemsize == 1:
        value = value.float()  # of eight bits nothing is computed
    least, most = value.aminmax()  # both are NaN where one value is
    return bool(torch.isfinite(least) & torch.isfinite(most))


def listed(names: Sequence[str]) -> str:
    """The first few names, and how many there are beside them."""
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more


def fits_shapes(source: object, build: Callable[[], nn.Module], check: Callable[[nn.Module], None]) -> nn.Module:
    """A model, built only when shapes alone have passed a check: first on the meta device, where nothing is computed
    and no number of layers takes memory.

    Args:
        source: what describes the model, for sentences.
        build: makes the model; it is called twice.
        check: raises where the shapes are wrong.

    Raises `CheckpointError` for more than `PARTS` parts, and where values contradict each other.
    """
    if torch.get_default_device().type == "meta":
        return build()
    with countable(source), contradictions(source), torch.device("meta"):
        check(build())
    with contradictions(source):
        return build()


@contextmanager
def countable(source: object, most: int = PARTS) -> Generator[None]:
    """Within it no more than so many parts of models are made; raises `CheckpointError`."""
    count = itertools.count(1)

    def limit(*_: Any) -> None:
        if next(count) > most:
            raise CheckpointError(f"{source} describes a model of more than {most:,} parts: none is that large")

    registration = torch.nn.modules.module
    hooks = (
        registration.register_module_parameter_registration_hook(limit),
        registration.register_module_buffer_registration_hook(limit),
        registration.register_module_module_registration_hook(limit),
    )
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def contradictions(source: object) -> Generator[None]:
    """Within it a model is built by sizes that were read; raises `CheckpointError` where they make none."""
    try:
        yield
    except KeyError as error:
        raise CheckpointError(f"{source} lacks {error.args[0]}, from which sizes are read") from None
    except (ArithmeticError, AssertionError, AttributeError, IndexError, MemoryError, TypeError) as error:
        raise CheckpointError(f"the sizes in {source} make no model ({_reason(error)})") from None
    except (RuntimeError, ValueError) as error:
        if isinstance(error, LimnerError):
            raise
        raise CheckpointError(f"the sizes in {source} make no model ({_reason(error)})") from None


def _reason(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]


def _kind(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
