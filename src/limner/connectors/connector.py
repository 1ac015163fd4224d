"""What stands between a vision encoder and a language model.

    patches = reduce(encoder(image), question)         fewer patches: pruned, merged, resampled
    vectors = connector(patches, language.words)       [b m d], in the space of the language model's words

A connector that builds its vectors from words reads the table that it gets, so that the same connector may serve
another language model; the others ignore it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from limner.types import Patches

Features = Float[Tensor, "b n f"]
Words = Float[Tensor, "v d"]
Query = Float[Tensor, "b q d"]  # word vectors of the questions, padded with zeros

Reduce: TypeAlias = Callable[[Patches, Query | None], Patches]


def unreduced(patches: Patches, query: Query | None) -> Patches:
    """All patches as they are: the `Reduce` of a model that prunes and merges nothing."""
    return patches


@dataclass(frozen=True)
class InTurn:
    """One reduction, then another."""

    first: Reduce
    second: Reduce

    def __call__(self, patches: Patches, query: Query | None) -> Patches:
        return self.second(self.first(patches, query), query)


@runtime_checkable
class Connector(Protocol):
    """Exchangeable in one line."""

    def __call__(self, patches: Patches, words: Words) -> Float[Tensor, "b m d"]:
        """Input vectors of the language model: one per patch, or as many as the connector makes."""


@runtime_checkable
class Counted(Connector, Protocol):
    """A connector that makes any of several numbers of vectors: the fewer, the coarser."""

    count: int

    def with_count(self, count: int) -> Counted:
        """The same connector, with the same weights, making ``count``; raises `InputError` if it cannot."""


@runtime_checkable
class WordMixture(Protocol):
    """A connector that says how much of each word it mixes into the vector of a patch."""

    def top_words(self, patches: Patches, words: Words, count: int) -> tuple[Tensor, Tensor]:
        """Ids and weights ``[b n count]`` of the words that weigh most in every patch, heaviest first."""
