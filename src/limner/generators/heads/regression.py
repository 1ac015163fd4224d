"""The mean alone: squared error, no randomness. The control that shows why a token needs a distribution."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from limner.generators.heads.head import Contexts, SamplingOptions, guide
from limner.types import Latents, Rng


class RegressionHead(nn.Module):
    """Continuous tokens by least squares; every draw of one context is the same."""

    def __init__(self, channels: int, context: int) -> None:
        super().__init__()
        self.channels = channels
        self.embed = nn.Linear(channels, context)
        self.output = nn.Linear(context, channels)

    def loss(self, contexts: Contexts, tokens: Latents, rng: Rng) -> Float[Tensor, "b m"]:
        """Mean squared error over channels."""
        return (self.output(contexts).float() - tokens.float()).square().mean(-1)

    def blank(self, batch: int, count: int) -> Latents:
        """Placeholders of tokens not yet drawn."""
        return torch.zeros(batch, count, self.channels)

    def sample(self, contexts: Contexts, guided: bool, options: SamplingOptions, rng: Rng) -> Float[Tensor, "rows m c"]:
        """The mean, guided by extrapolation."""
        mean = self.output(contexts).float()
        return guide(mean, options.guidance) if guided else mean
