"""Tensors of a file become the weights of a model: all of them, or none and a sentence.

    every parameter has its tensor,   every tensor has its parameter,   shapes and kinds are equal,   values are finite

Every reader of weights comes here: folders of ours, files of authors, folders of transformers.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from limner.errors import CheckpointError, LimnerError

LISTED = 8  # keys that a sentence names
EXTRA = "_extra_state"  # what a module keeps beside its tensors, of any size
PARTS = 20_000  # parameters, buffers and modules that any model may have
TYPICAL = 1000  # elements for each of those beyond
SLACK = 4  # elements that are made for one of its weights: tables and masks are computed
FREE = 50_000_000  # and beside them


def misfits(own: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str:
    """What keeps the tensors of a file from being a model's, in words; empty if nothing does.

    Args:
        own: tensors of the model, by their names in the file.
        found: tensors of the file.
    """
    both = [(key, own[key], found[key]) for key in own if key in found and not key.endswith(EXTRA)]
    shapes = [
        f"{key} is {list(read.shape)} and not {list(value.shape)}"
        for key, value, read in both
        if read.shape != value.shape
    ]
    kinds = [f"{key} is {_kind(read.dtype)}" for key, value, read in both if not alike(value.dtype, read.dtype)]
    broken = unsound({key: read for key, _, read in both if read.is_floating_point()})
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
    if not value.numel():
        return True
    if value.dtype.itemsize == 1:
        value = value.float()  # of eight bits nothing is computed
    least, most = value.aminmax()  # both are NaN where one value is
    return bool(torch.isfinite(least) & torch.isfinite(most))


def listed(names: Sequence[str]) -> str:
    """The first few names, and how many there are beside them."""
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more


@dataclass
class MemoryBudget:
    """What may still be made: elements of tensors, and parts of models."""

    source: object
    elements: int
    parts: int

    def take(self, elements: int) -> None:
        """A parameter, buffer or module is made of so many elements; raises `CheckpointError` past the budget."""
        self.elements -= elements
        self.parts -= 1
        if self.elements < 0 or self.parts < 0:
            raise CheckpointError(f"{self.source} describes a larger model than its weights are: save it again")


BUDGET: ContextVar[MemoryBudget | None] = ContextVar("BUDGET", default=None)


@contextmanager
def buildable(source: object, elements: int) -> Generator[None]:
    """Within it a model is built from sizes that were read; errors as those of `budgeted` and `contradictions`."""
    with contradictions(source), budgeted(source, elements):
        yield


@contextmanager
def budgeted(source: object, elements: int) -> Generator[None]:
    """Within it a model takes no more memory than its weights explain; what is loaded within has a budget of its own.

    Args:
        source: what describes the model, for sentences.
        elements: of all its weights together.

    Raises `CheckpointError` as soon as more than `SLACK` times as many elements are made, or more parameters, buffers
    and modules than `PARTS` and one for `TYPICAL` elements.
    """
    nested = BUDGET.get() is not None
    outer = BUDGET.set(MemoryBudget(source, SLACK * elements + FREE, PARTS + elements // TYPICAL))
    try:
        if nested:
            yield
            return
        registration = torch.nn.modules.module
        with ExitStack() as stack:
            for hook in (
                registration.register_module_parameter_registration_hook(_count),
                registration.register_module_buffer_registration_hook(_count),
                registration.register_module_module_registration_hook(_count),
            ):
                stack.callback(hook.remove)
            stack.enter_context(Bounded())
            yield
    finally:
        BUDGET.reset(outer)


def _count(module: nn.Module, name: str, part: Any) -> None:
    budget = BUDGET.get()
    if budget is not None:
        budget.take(part.numel() if isinstance(part, Tensor) else 0)


class Bounded(TorchFunctionMode):
    """Tensors of more elements than the budget has left are refused before they take memory."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        budget = BUDGET.get()
        if budget is not None and func in FACTORIES and _elements(args, kwargs or {}) > budget.elements:
            raise CheckpointError(f"{budget.source} describes a larger model than its weights are: save it again")
        return func(*args, **(kwargs or {}))


FACTORIES = {torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn, torch.arange, torch.linspace}


def _elements(args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    """No fewer than a factory will make: the product of all whole numbers that it is given."""
    sizes = [*args, *kwargs.values()]
    flat = [inner for size in sizes for inner in (size if isinstance(size, tuple | list) else (size,))]
    return math.prod(abs(size) for size in flat if type(size) is int and size)


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
