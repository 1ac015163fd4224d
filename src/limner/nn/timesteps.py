"""How a network is told how noisy its input is: waves of the timestep, then a small MLP (Ho et al., arXiv:2006.11239,
Appendix B; Peebles & Xie, arXiv:2212.09748).

    features(t) = [cos(t w_i) | sin(t w_i)],   w_i = 10000 ** (-i / 128),  i = 0 .. 127;   t from 0 (clean) to 1000
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

FREQUENCIES = 256


def timestep_features(t: Int[Tensor, "*rows"]) -> Float[Tensor, "*rows f"]:
    """Cosines and sines of the timestep at 128 frequencies from 1 down to 1/10000."""
    half = FREQUENCIES // 2
    frequencies = torch.exp(-math.log(10_000) * torch.arange(half, dtype=torch.float32, device=t.device) / half)
    angles = t[..., None].float() * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


class TimestepEmbedding(nn.Module):
    """A vector of ``width`` per timestep."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(FREQUENCIES, width), nn.Linear(width, width)
        for layer in (self.fc1, self.fc2):
            nn.init.normal_(layer.weight, std=0.02)

    def forward(self, t: Int[Tensor, "*rows"]) -> Float[Tensor, "*rows d"]:
        return self.fc2(functional.silu(self.fc1(timestep_features(t).to(self.fc1.weight.dtype))))
