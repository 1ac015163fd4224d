"""What a backbone is, and the law it must keep."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from limner.generators.conditions import Conditioning
from limner.nn.cache import Rewindable
from limner.types import Steps

Embedded = Float[Tensor, "b n d"]
Contexts = Float[Tensor, "b m d"]


@runtime_checkable
class Denoiser(Protocol):
    """Contexts that wait for noise, where the whole trunk denoises: what a token's own block looks like under noise is
    asked again and again, what it is drawn from stays.

    ``level``: which noise level each wanted token has; tokens of one step share one. ``levels``: how many there are.
    """

    level: Int[Tensor, "b m"]
    levels: int

    def __call__(self, noised: Float[Tensor, "b m d"], t: Int[Tensor, "b levels"]) -> Contexts:
        """Contexts of the wanted tokens, given their noised selves, embedded, and the timestep of each level in 0 ..
        1000; of fewer rows, the first, where so few are given."""


@runtime_checkable
class Backbone(Protocol):
    """Knows neither what a token means nor how it is predicted.

    Law: the context of a token depends on the condition and on tokens of strictly earlier steps, never on tokens of
    its own or a later step. ``tests/laws`` holds every backbone to it. A `Denoiser` has besides what it is called with:
    noised tokens of its own step and, if it likes, of earlier ones.
    """

    width: int

    def __call__(
        self,
        x: Embedded,
        steps: Steps,
        condition: Conditioning,
        targets: Int[Tensor, "b m"],
        cache: Any = None,
    ) -> Contexts | Denoiser:
        """Contexts of the tokens at ``targets``; ``x`` is read only where the law allows.

        With a cache of its own making it computes what that lacks, and the contexts are the same: for one step, for
        several at once, and after positions were taken back by ``cache.keep(cache.lead + known)``, ``known`` being the
        tokens of the first steps that are still as they were read.
        """

    def cache(self) -> Rewindable | None:
        """An empty cache for one drawing, or None if nothing of a pass can serve the next."""


def masked(x: Embedded, steps: Steps, mask: Float[Tensor, "1 1 d"]) -> Embedded:
    """``x`` with the tokens of the last step present, which are to be predicted, replaced by the mask token."""
    return torch.where((steps == steps.amax(1, keepdim=True))[..., None], mask.to(x.dtype), x)
