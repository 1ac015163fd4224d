"""What the loop trains: a model, its batches, and the loss that it descends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeAlias, TypeVar

from torch import Tensor, nn

from limner.nn.whole_batch import Coupling
from limner.types import Image, Rng

ModelT = TypeVar("ModelT", bound=nn.Module)
BatchT = TypeVar("BatchT")
Loss: TypeAlias = tuple[Tensor, dict[str, Tensor | float]]  # the scalar to descend, and what to log beside it


@dataclass(frozen=True)
class Task(Generic[ModelT, BatchT]):
    """A model with the stream it learns from and the loss it descends. The loop knows nothing else about models.

    Args:
        model: what is trained, averaged, saved and shipped.
        batch: items ``start .. start + size`` of the stream, as CPU tensors: a pure function of the two numbers.
        loss: of the model (or its average), a batch on the model's device and random numbers.
        extra: parameters trained beside the model and not shipped, such as a discriminator.
        preview: a few pictures that show what the model does by now; None if there are none.
        validate: cheap held-out scores by name; None if there are none.
        coupling: why a batch must not be trained in parts; None if its loss is that of its parts, see
            `limner.nn.whole_batch`.
        notices: sentences for whoever trains, such as which pictures are left out; the loop says and removes them.
    """

    model: ModelT
    batch: Callable[[int, int], BatchT]
    loss: Callable[[ModelT, BatchT, Rng], Loss]
    extra: nn.Module | None = None
    preview: Callable[[ModelT], Image | None] | None = None
    validate: Callable[[ModelT], dict[str, float]] | None = None
    coupling: Coupling | None = None
    notices: list[str] = field(default_factory=list)
