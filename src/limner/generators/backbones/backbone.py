"""What a backbone is, and the law it must keep."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor

from limner.nn.transformer import KeyValueCache
from limner.types import Steps

Embedded = Float[Tensor, "b n d"]
Contexts = Float[Tensor, "b m d"]


@runtime_checkable
class Backbone(Protocol):
    """Knows neither what a token means nor how it is predicted.

    Law: the context of a token depends on the condition and on tokens of strictly earlier steps, never on tokens of
    its own or a later step. ``tests/laws`` holds every backbone to it.
    """

    width: int

    def __call__(
        self,
        x: Embedded,
        steps: Steps,
        prefix: Float[Tensor, "b k d"],
        wanted: Int[Tensor, "b m"],
        cache: KeyValueCache | None = None,
    ) -> Contexts:
        """Contexts of the tokens at ``wanted``; ``x`` is read only where the law allows."""

    def cache(self) -> KeyValueCache | None:
        """An empty cache for one drawing, or None if nothing of a pass can serve the next."""
