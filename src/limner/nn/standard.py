"""Every channel of every place on one scale over pictures (batch normalisation, Ioffe & Szegedy, arXiv:1502.03167).

    training: x_p -> (x_p - mean_b x_p) / deviation_b x_p             else: with running averages of both

What a transformer makes of a place says first of all which place it is, and only then what is in the picture; a
codebook spends its rows on what varies most. What is the same in all pictures goes out here: codes tell pictures apart.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


class Standardised(nn.Module):
    """Mean 0 and deviation 1 of each of ``size`` values over pictures. Values that are not learnt, because what makes
    them is frozen, leave the running averages as they are.

    Args:
        size: channels times places.
        momentum: share of a batch in the running averages.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, size: int, *, momentum: float = 0.1) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("variance", torch.ones(size))

    def forward(self, x: Float[Tensor, "b *c"]) -> Float[Tensor, "b *c"]:
        learning = self.training and x.requires_grad
        values = x.flatten(1).float()
        return functional.batch_norm(
            values, self.mean, self.variance, training=learning, momentum=self.momentum
        ).view_as(x)
