"""Bases that hold no words: what the words of a language basis are compared with.

    matched      random vectors of the words' mean and covariance: they span what words span, and mean nothing
    learned      a table of its own, as in Ovis (arXiv:2405.20797)

An unconstrained mixture of all words is any vector at all, so with a matched basis it is the same class of functions,
learnt at the same pace: what a language basis does better than this control, it does because its vectors are words.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from limner.connectors.bases import Basis, Span
from limner.connectors.connector import Words
from limner.errors import InputError


class Matched(Basis):
    """Random vectors whose mean and covariance are exactly those of the words; no gradient reaches the words.

    Args:
        size: vectors, more than channels.
        width: channels.
        seed: of the draw; another table gets another basis when `adopt` is called.
    """

    noise: Tensor

    def __init__(self, size: int, width: int, seed: int = 0) -> None:
        super().__init__(size)
        self.seed = seed
        self.register_buffer("noise", white(size, width, seed))

    def adopt(self, words: Words) -> None:
        """Draw anew: a random basis knows nothing of the words that it would share with another."""
        self.seed += 1
        self.noise = white(self.size, words.shape[1], self.seed).to(self.noise.device)

    @torch.no_grad()
    def forward(self, words: Words) -> Span:
        mean = words.mean(0)
        root = torch.linalg.qr((words - mean).float(), mode="r").R / len(words) ** 0.5  # root' root: the covariance
        return Span(mean, mean + (self.noise[:, : len(root)] @ root).to(mean.dtype), mean)


def white(count: int, width: int, seed: int) -> Float[Tensor, "count width"]:
    """Random rows of mean 0 and covariance the identity, exactly; raises `InputError` if they are too few for it."""
    if count <= width:
        raise InputError(f"{count} vectors cannot match the covariance of {width} channels: take more than {width}")
    drawn = torch.randn(count, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (torch.linalg.qr(drawn - drawn.mean(0)).Q * count**0.5).float()


class Learned(Basis):
    """A table of its own, as wide as words and from the start as they are distributed, channel by channel."""

    def __init__(self, size: int, width: int) -> None:
        super().__init__(size)
        self.table = nn.Parameter(torch.randn(size, width))

    @torch.no_grad()
    def settle(self, words: Words) -> None:
        """Draw it anew like the words."""
        self.table.normal_().mul_(words.std(0)).add_(words.mean(0))

    def forward(self, words: Words) -> Span:
        return Span(self.table.mean(0), self.table, self.table.mean(0))
