"""Real-valued latents: none but a running measure of their scale (AE), or a Gaussian posterior (VAE).

VAE: ``z = mean + std * noise``, penalty ``KL(N(mean, std^2) || N(0, 1))`` (Kingma & Welling, arXiv:1312.6114, Eq. 10).
"""

from __future__ import annotations

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from limner.tokenizers.quantizers.quantizer import Bottleneck, Features
from limner.types import Latents, Rng

MOMENTUM = 0.01  # of the running mean and variance, per training batch


class ChannelScale(nn.Module):
    """Running mean and deviation of each latent channel, so that generators see zero mean and unit variance.

    They follow the encoder while it learns (its features then require a gradient) and stand still with it.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.ones(channels))

    @torch.no_grad()
    def observe(self, z: Features) -> None:
        """Take a training batch into account."""
        z = z.detach().float()
        self.mean.lerp_(z.mean((0, 2, 3)), MOMENTUM)
        self.variance.lerp_((z - self.mean[:, None, None]).square().mean((0, 2, 3)), MOMENTUM)

    def flatten(self, z: Features) -> Latents:
        """Grid to normalised tokens."""
        return (rearrange(z, "b c h w -> b (h w) c") - self.mean) * self.variance.rsqrt()

    def unflatten(self, tokens: Latents, height: int, width: int) -> Features:
        """Normalised tokens to the grid that the decoder knows."""
        return rearrange(tokens * self.variance.sqrt() + self.mean, "b (h w) c -> b c h w", h=height, w=width)


class Identity(nn.Module):
    """No constraint: the plain autoencoder. Its latents cannot be drawn from any known prior."""

    discrete = False

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.features = self.channels = channels
        self.scale = ChannelScale(channels)

    def forward(self, features: Features, rng: Rng) -> Bottleneck:
        if features.requires_grad:
            self.scale.observe(features)
        return Bottleneck(features, features.new_zeros(()), {})

    def tokens(self, features: Features, rng: Rng | None = None) -> Latents:
        return self.scale.flatten(features.float())

    def keep(self, features: Features) -> dict[str, Tensor]:
        return {"mean": self.tokens(features)}

    def draw(self, kept: dict[str, Tensor], rng: Rng) -> Latents:
        return kept["mean"]

    def latents(self, tokens: Latents, height: int, width: int) -> Features:
        return self.scale.unflatten(tokens, height, width)


class Gaussian(nn.Module):
    """A diagonal Gaussian per latent.

    Args:
        channels: latent channels; the encoder gives twice as many, mean and log-variance.
        weight: of the KL, averaged over latents in nats, against a reconstruction loss averaged over pixels.
    """

    discrete = False

    def __init__(self, channels: int, weight: float) -> None:
        super().__init__()
        self.features, self.channels, self.weight = 2 * channels, channels, weight
        self.scale = ChannelScale(channels)

    def moments(self, features: Float[Tensor, "b c2 h w"]) -> tuple[Features, Features]:
        """Posterior mean and log-variance, the latter held to [-30, 20]."""
        mean, log_variance = features.float().chunk(2, dim=1)
        return mean, log_variance.clamp(-30.0, 20.0)

    @staticmethod
    def divergence(mean: Features, log_variance: Features) -> Features:
        """KL of each latent to a standard normal, in nats."""
        return 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance)

    def forward(self, features: Float[Tensor, "b c2 h w"], rng: Rng) -> Bottleneck:
        mean, log_variance = self.moments(features)
        z = mean + (0.5 * log_variance).exp() * rng.normal(*mean.shape)
        kl = self.divergence(mean, log_variance).mean()
        if features.requires_grad:
            self.scale.observe(z)
        return Bottleneck(z, self.weight * kl, {"kl": kl.detach()})

    def tokens(self, features: Float[Tensor, "b c2 h w"], rng: Rng | None = None) -> Latents:
        mean, log_variance = self.moments(features)
        if rng is not None:
            mean = mean + (0.5 * log_variance).exp() * rng.normal(*mean.shape)
        return self.scale.flatten(mean)

    def keep(self, features: Float[Tensor, "b c2 h w"]) -> dict[str, Tensor]:
        mean, log_variance = self.moments(features)
        deviation = rearrange((0.5 * log_variance).exp(), "b c h w -> b (h w) c") * self.scale.variance.rsqrt()
        return {"mean": self.scale.flatten(mean), "deviation": deviation}

    def draw(self, kept: dict[str, Tensor], rng: Rng) -> Latents:
        return kept["mean"] + kept["deviation"] * rng.normal(*kept["mean"].shape)

    def latents(self, tokens: Latents, height: int, width: int) -> Features:
        return self.scale.unflatten(tokens, height, width)
