"""Scores of the vectors of a basis, of every patch: a matrix of its own, or attention to the vectors themselves.

    dense       l = W h(f) + b                                      a row of W per vector of the basis
    attention   l = q(h(f)) E' / (rms(E) sqrt(d))                   W is the table: no parameter per word

``h`` may be anything; with a dense matrix and ``h`` a LayerNorm, SuperClass's classifier is such a head, and its mean
over patches nearly its logits of the picture (arXiv:2411.03313).
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

Table = Float[Tensor, "entries d"]
Scored = Float[Tensor, "n entries"]


@runtime_checkable
class ScoreHead(Protocol):
    """Patches to scores in two steps, so that the second, which is large, can be made in parts."""

    def hidden(self, features: Float[Tensor, "b n f"]) -> Float[Tensor, "b n h"]:
        """What scores are computed from."""

    def scores(self, hidden: Float[Tensor, "n h"], rows: Table) -> Scored:
        """One per row."""


class DenseHead(nn.Module):
    """A matrix of its own.

    Args:
        trunk: ``h``, features to ``width`` channels.
        width: that ``trunk`` gives.
        entries: vectors of the basis.
        bias: add one.
        normalised: LayerNorm over the scores of a patch, as AlignVLM and Ovis have it.
    """

    def __init__(
        self, trunk: nn.Module, width: int, entries: int, *, bias: bool = True, normalised: bool = False
    ) -> None:
        super().__init__()
        self.trunk = trunk
        self.output = nn.Linear(width, entries, bias)
        self.norm = nn.LayerNorm(entries) if normalised else nn.Identity()
        nn.init.normal_(self.output.weight, std=width**-0.5)  # scores of unit variance if h is
        if bias:
            nn.init.zeros_(self.output.bias)

    def hidden(self, features: Float[Tensor, "b n f"]) -> Float[Tensor, "b n h"]:
        """The trunk's channels."""
        return self.trunk(features)

    def scores(self, hidden: Float[Tensor, "n h"], rows: Table) -> Scored:
        """One per entry; ``rows`` have no say."""
        return self.norm(self.output(hidden))

    @torch.no_grad()
    def start_from(
        self,
        weight: Float[Tensor, "v h"],
        bias: Float[Tensor, "v"],
        ids: Int[Tensor, "entries"],
    ) -> None:
        """Begin as a classifier into subwords, entry ``i`` as its row ``ids[i]``; an entry of which it knows nothing
        (-1) begins as unlikely as its least likely subword."""
        known = (ids >= 0)[:, None]
        self.output.weight.copy_(torch.where(known, weight[ids.clamp_min(0)], 0.0))
        self.output.bias.copy_(torch.where(known[:, 0], bias[ids.clamp_min(0)], bias.min()))


class AttentionHead(nn.Module):
    """The basis scored by inner products with it.

    Args:
        trunk: ``h``, features to ``width`` channels.
        width: that ``trunk`` gives.
        words: channels of a vector of the basis.
    """

    def __init__(self, trunk: nn.Module, width: int, words: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.query = nn.Linear(width, words)
        nn.init.normal_(self.query.weight, std=width**-0.5)
        nn.init.zeros_(self.query.bias)

    def hidden(self, features: Float[Tensor, "b n f"]) -> Float[Tensor, "b n h"]:
        """Queries, one per patch, in the space of words."""
        return self.query(self.trunk(features))

    def scores(self, hidden: Float[Tensor, "n h"], rows: Table) -> Scored:
        """One per row: of unit variance if queries are, however long words are."""
        spread = rows.detach().var(0, unbiased=False).sum().sqrt()
        return functional.linear(hidden / spread, rows)
