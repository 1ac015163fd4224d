"""How a basis is tied to the table of words: live, as it comes; following the words without teaching them; or as they
once were.

    AllWords(v)                      follows the words, and its gradient teaches them
    Stopped(AllWords(v))             follows the words
    Snapshot(AllWords(v), width)     stays what they were (LangBridge, arXiv:2503.19404)
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from limner.connectors.bases import Basis, Span
from limner.connectors.connector import Words


class Stopped(Basis):
    """A basis that follows the words and does not teach them."""

    def __init__(self, basis: Basis) -> None:
        super().__init__(basis.size)
        self.basis = basis

    def settle(self, words: Words) -> None:
        self.basis.settle(words)

    def adopt(self, words: Words) -> None:
        self.basis.adopt(words)

    def forward(self, words: Words) -> Span:
        return self.basis(words.detach())

    def spread(self, coefficients: Float[Tensor, "n entries"], vocabulary: int) -> Float[Tensor, "n v"]:
        return self.basis.spread(coefficients, vocabulary)


class Snapshot(Basis):
    """A basis as it was when it was settled, whatever becomes of the words.

    Args:
        basis: of what.
        width: channels of a word.
    """

    mean: Tensor
    rows: Tensor
    origin: Tensor

    def __init__(self, basis: Basis, width: int) -> None:
        super().__init__(basis.size)
        self.basis = basis
        for name, shape in (("mean", (width,)), ("rows", (basis.size, width)), ("origin", (width,))):
            self.register_buffer(name, torch.zeros(shape))

    def settle(self, words: Words) -> None:
        self.basis.settle(words)
        self._take(words)

    def adopt(self, words: Words) -> None:
        self.basis.adopt(words)
        self._take(words)

    @torch.no_grad()
    def _take(self, words: Words) -> None:
        self.mean, self.rows, self.origin = (part.clone() for part in self.basis(words))

    def forward(self, words: Words) -> Span:
        return Span(self.mean, self.rows, self.origin)

    def spread(self, coefficients: Float[Tensor, "n entries"], vocabulary: int) -> Float[Tensor, "n v"]:
        return self.basis.spread(coefficients, vocabulary)
