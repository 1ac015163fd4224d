"""What the loop trains: anything that makes batches and turns them into a loss."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

from limner.types import Image, Rng


@runtime_checkable
class Task(Protocol):
    """A model with the stream it learns from and the loss it is taught by.

    The loop knows nothing else about models, so a new system needs no line in it.
    """

    @property
    def model(self) -> nn.Module:
        """What is trained, averaged, saved and shipped."""

    @property
    def extra(self) -> nn.Module | None:
        """Parameters trained beside the model and not shipped, such as a discriminator."""

    def batch(self, start: int, size: int) -> Any:
        """Items ``start .. start + size`` of the stream, as CPU tensors: a pure function of the two numbers."""

    def loss(self, model: nn.Module, batch: Any, rng: Rng) -> tuple[Tensor, dict[str, Tensor | float]]:
        """The scalar to descend and what to log beside it."""

    def preview(self, model: nn.Module) -> Image | None:
        """A few pictures that show what the model does by now, or None."""

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Cheap held-out scores."""
