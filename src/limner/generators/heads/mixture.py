"""A mixture of Gaussians with diagonal covariance (Tschannen et al., GIVT, arXiv:2312.02116, Section 3.3)."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from limner.generators.heads.head import Contexts, SamplingOptions, guide
from limner.types import Latents, Rng


class MixtureHead(nn.Module):
    """Continuous tokens: ``components`` weights, means and log-deviations from one linear layer.

    Guidance extrapolates means and log-weights linearly.
    """

    def __init__(self, channels: int, context: int, *, components: int = 16) -> None:
        super().__init__()
        self.channels, self.components = channels, components
        self.embed = nn.Linear(channels, context)
        self.output = nn.Linear(context, components * (1 + 2 * channels))

    def parts(self, contexts: Contexts) -> tuple[Tensor, Tensor, Tensor]:
        """log-weights ``[b m g]``, means and log-deviations ``[b m g c]``, the latter held to [-7, 3]."""
        sizes = (self.components, self.components * self.channels, self.components * self.channels)
        weight, mean, deviation = self.output(contexts).float().split(sizes, dim=-1)
        shape = (*weight.shape, self.channels)
        return weight.log_softmax(-1), mean.reshape(shape), deviation.reshape(shape).clamp(-7.0, 3.0)

    def loss(self, contexts: Contexts, tokens: Latents, rng: Rng) -> Float[Tensor, "b m"]:
        """Negative log-likelihood in nats per channel."""
        weight, mean, deviation = self.parts(contexts)
        z = (tokens.float()[:, :, None] - mean) * (-deviation).exp()
        log_density = -(0.5 * z.square() + deviation + 0.5 * math.log(2 * math.pi)).sum(-1)
        return -torch.logsumexp(weight + log_density, dim=-1) / self.channels

    def blank(self, batch: int, count: int) -> Latents:
        """Placeholders of tokens not yet drawn."""
        return torch.zeros(batch, count, self.channels)

    def sample(self, contexts: Contexts, guided: bool, options: SamplingOptions, rng: Rng) -> Float[Tensor, "rows m c"]:
        """A component, then a point of it."""
        weight, mean, deviation = self.parts(contexts)
        if guided:
            weight, mean = guide(weight, options.guidance), guide(mean, options.guidance)
            deviation = deviation.chunk(2)[0]
        edges = weight.softmax(-1).cumsum(-1)
        chosen = (rng.uniform(*edges.shape[:2])[..., None] > edges).sum(-1).clamp_max(self.components - 1)
        index = chosen[..., None, None].expand(-1, -1, 1, self.channels)
        mean, deviation = mean.gather(2, index)[:, :, 0], deviation.gather(2, index)[:, :, 0]
        return mean + deviation.exp() * rng.normal(*mean.shape) * options.temperature
