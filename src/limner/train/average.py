"""An exponential moving average of weights, the ones that are evaluated and shipped."""

from __future__ import annotations

import copy

import torch
from torch import nn


class WeightAverage:
    """``average <- decay * average + (1 - decay) * weights`` after every step; buffers are copied.

    The decay grows with the number of steps, ``min(decay, (1 + s) / (10 + s))``, so that the random first weights
    are soon forgotten. Weights that do not learn are their own average, and are shared.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        frozen = {id(weight): weight for weight in model.parameters() if not weight.requires_grad}
        self.model = copy.deepcopy(model, frozen).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Move the average towards the weights after optimizer step number ``step`` (from 0)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        pairs = zip(self.model.parameters(), model.parameters(), strict=True)
        learning = [(own, other) for own, other in pairs if own is not other]
        if hasattr(torch, "_foreach_lerp_"):  # all at once, but not part of torch's public interface
            torch._foreach_lerp_([own for own, _ in learning], [other for _, other in learning], 1 - decay)
        else:
            for average, weight in learning:
                average.lerp_(weight, 1 - decay)
        for own, other in zip(self.model.buffers(), model.buffers(), strict=True):
            own.copy_(other)
