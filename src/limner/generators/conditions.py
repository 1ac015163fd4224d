"""What a picture is drawn from: a class, or a caption. Each becomes ``k`` tokens that the backbone reads.

``dropped`` rows lose their condition for learned tokens of "nothing", which is what guidance needs (Ho & Salimans,
arXiv:2207.12598).
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from limner.nn.blocks import vit_blocks

Prefix = Float[Tensor, "b k d"]


@runtime_checkable
class Condition(Protocol):
    """``count`` tokens from whatever describes the picture."""

    count: int

    def __call__(self, given: Tensor, dropped: Bool[Tensor, "b"]) -> Prefix: ...


class ClassCondition(nn.Module):
    """One learned vector per class, repeated ``count`` times (MAR's buffer tokens, arXiv:2406.11838, Section 4); a
    class below 0 is none."""

    def __init__(self, classes: int, width: int, count: int = 64) -> None:
        super().__init__()
        self.count = count
        self.embedding = nn.Embedding(classes, width)
        self.nothing = nn.Parameter(torch.zeros(1, width))
        for weight in (self.embedding.weight, self.nothing):
            nn.init.normal_(weight, std=0.02)

    def forward(self, given: Int[Tensor, "b"], dropped: Bool[Tensor, "b"]) -> Prefix:
        vector = torch.where((dropped | (given < 0))[:, None], self.nothing, self.embedding(given.clamp_min(0)))
        return vector[:, None].expand(-1, self.count, -1)


class TextCondition(nn.Module):
    """A small transformer over the caption's subwords, trained with the generator; row 0 of the vocabulary pads.

    Padding is read like any token: captions have one length, so no mask is needed.
    """

    def __init__(self, vocabulary: int, width: int, *, count: int, depth: int = 2, heads: int = 4) -> None:
        super().__init__()
        self.count = count
        self.embedding = nn.Embedding(vocabulary, width)
        self.position = nn.Parameter(torch.zeros(1, count, width))
        self.blocks = vit_blocks(depth, width, heads, activation=functional.silu)
        self.norm = nn.LayerNorm(width)
        self.nothing = nn.Parameter(torch.zeros(1, count, width))
        for weight in (self.embedding.weight, self.position, self.nothing):
            nn.init.normal_(weight, std=0.5)

    def forward(self, given: Int[Tensor, "b k"], dropped: Bool[Tensor, "b"]) -> Prefix:
        x = self.norm(self.blocks(self.embedding(given) + self.position))
        return torch.where(dropped[:, None, None], self.nothing.to(x.dtype), x)


class CaptionFeatures(nn.Module):
    """Features of a caption by a frozen text encoder, through an MLP (LlamaGen, arXiv:2406.06525: 120 of Flan-T5 XL).

    Captions of fewer words begin with rows of zeros. The last channel of each slot tells the backbone whether it is
    read, 1, or pads, 0; that stays where a caption is withheld for the features of nothing.
    """

    nothing: Tensor

    def __init__(self, channels: int, width: int, *, count: int) -> None:
        super().__init__()
        self.count = count
        self.fc1 = nn.Linear(channels, width, bias=False)
        self.fc2 = nn.Linear(width, width, bias=False)
        self.register_buffer("nothing", torch.randn(count, channels) / channels**0.5)
        for layer in (self.fc1, self.fc2):
            nn.init.normal_(layer.weight, std=0.02)

    def forward(self, given: Float[Tensor, "b k c"], dropped: Bool[Tensor, "b"]) -> Float[Tensor, "b k e"]:
        read = given.any(-1, keepdim=True)
        features = torch.where(dropped[:, None, None], self.nothing, given.to(self.nothing.dtype))
        slots = self.fc2(functional.gelu(self.fc1(features), approximate="tanh"))
        return torch.cat([slots, read.to(slots.dtype)], dim=-1)
