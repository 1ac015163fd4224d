"""What a picture is drawn from: a class, or a caption, perhaps with a control for every token. Each becomes a
`Conditioning`:

    prefix       vectors that the backbone reads as if they were tokens
    pooled       one vector, which modulates (adaLN); the mean of the prefix unless it is of its own
    per_token    a vector beside every token (ControlAR, arXiv:2410.02705)

``dropped`` rows lose their condition for learned vectors of "nothing", which is what guidance needs (Ho & Salimans,
arXiv:2207.12598).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from limner.nn.blocks import vit_blocks


class Conditioning(NamedTuple):
    """The condition as a backbone reads it."""

    prefix: Float[Tensor, "b k d"]
    prefix_mask: Bool[Tensor, "b k"] | None = None
    """Which vectors of the prefix are read, and do not only pad; None: all."""
    pooled: Float[Tensor, "b d"] | None = None
    per_token: Float[Tensor, "b n d"] | None = None

    def vector(self) -> Float[Tensor, "b d"]:
        """What modulates."""
        return self.prefix.mean(1) if self.pooled is None else self.pooled

    def rows(self, count: int) -> Conditioning:
        """The first ``count`` rows."""
        return self.select(slice(count))

    def select(self, rows: slice | Int[Tensor, "rows"]) -> Conditioning:
        """These rows, in this order; a row may come twice."""
        return Conditioning(self.prefix[rows], *(None if part is None else part[rows] for part in self[1:]))


@dataclass(frozen=True)
class Controlled:
    """Rows of a class or caption and, for each, a control of the whole picture: features of its patches."""

    what: Tensor
    control: Float[Tensor, "b n c"]

    @property
    def device(self) -> torch.device:
        return self.what.device

    def __len__(self) -> int:
        return len(self.what)

    def __getitem__(self, rows: Any) -> Controlled:
        return Controlled(self.what[rows], self.control[rows])

    def to(self, device: torch.device) -> Controlled:
        """The same on another device."""
        return Controlled(self.what.to(device), self.control.to(device))


ConditionInput: TypeAlias = Tensor | Controlled


@runtime_checkable
class Condition(Protocol):
    """``count`` vectors from whatever describes the picture, and what else a `Conditioning` holds."""

    count: int

    def __call__(self, condition: Any, dropped: Bool[Tensor, "b"]) -> Conditioning: ...


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

    def forward(self, condition: Int[Tensor, "b"], dropped: Bool[Tensor, "b"]) -> Conditioning:
        vector = torch.where((dropped | (condition < 0))[:, None], self.nothing, self.embedding(condition.clamp_min(0)))
        return Conditioning(vector[:, None].expand(-1, self.count, -1), pooled=vector)


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

    def forward(self, condition: Int[Tensor, "b k"], dropped: Bool[Tensor, "b"]) -> Conditioning:
        x = self.norm(self.blocks(self.embedding(condition) + self.position))
        return Conditioning(torch.where(dropped[:, None, None], self.nothing.to(x.dtype), x))


class CaptionFeatures(nn.Module):
    """Features of a caption by a frozen text encoder, through an MLP (LlamaGen, arXiv:2406.06525: 120 of Flan-T5 XL).

    Captions of fewer words begin with rows of zeros, which pad; that stays where a caption is withheld for the features
    of nothing.
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

    def forward(self, condition: Float[Tensor, "b k c"], dropped: Bool[Tensor, "b"]) -> Conditioning:
        features = torch.where(dropped[:, None, None], self.nothing, condition.to(self.nothing.dtype))
        prefix = self.fc2(functional.gelu(self.fc1(features), approximate="tanh"))
        return Conditioning(prefix, prefix_mask=condition.any(-1))
