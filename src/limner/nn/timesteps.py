"""The embedding of the noise level: waves of the timestep, then a small MLP (Ho et al., arXiv:2006.11239,
Appendix B; Peebles & Xie, arXiv:2212.09748).

    features(t) = [cos(t w_i) | sin(t w_i)],   w_i = scale period ** (-i / 128),  i = 0 .. 127

with a period of 10000 and timesteps from 0 (clean) to 1000 in the papers above; times of a flow go from 0 to 1.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Real
from torch import Tensor, nn
from torch.nn import functional

FREQUENCIES = 256


def timestep_features(
    t: Real[Tensor, "*rows"], period: float = 10_000.0, scale: float = 1.0
) -> Float[Tensor, "*rows f"]:
    """Cosines and sines of the timestep at 128 frequencies from ``scale`` down to ``scale / period``."""
    half = FREQUENCIES // 2
    exponents = torch.arange(half, dtype=torch.float32, device=t.device) / half
    frequencies = scale * torch.exp(-math.log(period) * exponents)
    angles = t[..., None].float() * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


class TimestepEmbedding(nn.Module):
    """A vector of ``width`` per timestep; ``period`` and ``scale``: see `timestep_features`."""

    def __init__(self, width: int, *, period: float = 10_000.0, scale: float = 1.0) -> None:
        super().__init__()
        self.period, self.scale = period, scale
        self.fc1, self.fc2 = nn.Linear(FREQUENCIES, width), nn.Linear(width, width)
        for layer in (self.fc1, self.fc2):
            nn.init.normal_(layer.weight, std=0.02)

    def forward(self, t: Real[Tensor, "*rows"]) -> Float[Tensor, "*rows d"]:
        waves = timestep_features(t, self.period, self.scale).to(self.fc1.weight.dtype)
        return self.fc2(functional.silu(self.fc1(waves)))
