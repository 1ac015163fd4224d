"""Bases of the language-basis connector: vectors that are fixed mixtures of words.

    all          every word
    chosen       some words: the most frequent, or a random subset
    clusters     centroids of k-means: each the mean of its words
    principal    directions of largest spread: U_r' (E - mu) / sqrt(v), each as long as words spread along it

A basis is read from the table it is given, so it follows a table that is trained, and carries over to that of another
language model with the same vocabulary. What it is made of (which words, which clusters, which mixtures) is decided
once, by `Basis.settle`. How it is tied to the table, see `limner.connectors.ties`; bases without words, see
`limner.connectors.controls`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from limner.connectors.connector import Words
from limner.connectors.mixing import FLOATS
from limner.errors import InputError

ROUNDS = 25  # of k-means: assignments of a few thousand words hardly change after


class Span(NamedTuple):
    """What is mixed: ``mean + gain * sum_j c_j (rows_j - origin)``. Rows that are words lie around ``origin``, their
    mean; rows that are directions start from 0."""

    mean: Float[Tensor, "d"]
    rows: Float[Tensor, "entries d"]
    origin: Float[Tensor, "d"]


class Basis(nn.Module):
    """``size`` vectors made from a table of words."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def settle(self, words: Words) -> None:
        """Decide by this table what the basis is made of."""

    def adopt(self, words: Words) -> None:
        """Be made of the same words of another table from now on; bases that follow the table need nothing."""

    def forward(self, words: Words) -> Span:
        """The vectors, from the table."""
        raise NotImplementedError

    def spread(self, coefficients: Float[Tensor, "n entries"], vocabulary: int) -> Float[Tensor, "n v"]:
        """How much of every word the mixtures hold. Rows that are no mixtures of words count as the words of their
        number, which gives controls a hit rate to be compared with."""
        return _placed(coefficients, torch.arange(self.size, device=coefficients.device), vocabulary)


class AllWords(Basis):
    """Every word of a vocabulary of ``size``."""

    def forward(self, words: Words) -> Span:
        if len(words) != self.size:
            raise InputError(f"this connector mixes {self.size} words, not {len(words)}: give it the table it is for")
        return Span(words.mean(0), words, words.mean(0))


class ChosenWords(Basis):
    """Some words.

    Args:
        ids: their rows in the table.
    """

    ids: Tensor

    def __init__(self, ids: Int[Tensor, "entries"]) -> None:
        super().__init__(len(ids))
        self.register_buffer("ids", ids)

    def forward(self, words: Words) -> Span:
        rows = words[self.ids]
        return Span(rows.mean(0), rows, rows.mean(0))

    def spread(self, coefficients: Float[Tensor, "n entries"], vocabulary: int) -> Float[Tensor, "n v"]:
        return _placed(coefficients, self.ids, vocabulary)


def most_frequent(texts: Iterable[Sequence[int]], vocabulary: int, count: int) -> Int[Tensor, "count"]:
    """The ``count`` subwords that occur most often in texts, in order of their number."""
    found = torch.zeros(vocabulary, dtype=torch.long)
    for ids in texts:
        found += torch.bincount(torch.tensor(ids, dtype=torch.long), minlength=vocabulary)
    return found.argsort(descending=True, stable=True)[:count].sort().values


def random_subset(vocabulary: int, count: int, seed: int) -> Int[Tensor, "count"]:
    """``count`` subwords at random, in order of their number."""
    return torch.randperm(vocabulary, generator=torch.Generator().manual_seed(seed))[:count].sort().values


class Clusters(Basis):
    """Centroids of ``size`` clusters of words.

    Args:
        vocabulary: words there are.
        size: clusters, none of which is empty.
        seed: of where k-means starts.
    """

    members: Tensor

    def __init__(self, vocabulary: int, size: int, seed: int = 0) -> None:
        super().__init__(size)
        if size > vocabulary:
            raise InputError(f"{vocabulary} words make no {size} clusters: ask for at most as many")
        self.seed = seed
        self.register_buffer("members", torch.arange(vocabulary) % size)

    @torch.no_grad()
    def settle(self, words: Words) -> None:
        """k-means (Lloyd 1982); a cluster that runs empty takes the word farthest from its centroid."""
        table = words.float()
        centroids = table[random_subset(len(table), self.size, self.seed).to(table.device)]
        for _ in range(ROUNDS):
            distance, members = _nearest(table, centroids)
            far = distance.argsort(descending=True)
            while (empty := (torch.bincount(members, minlength=self.size) == 0).nonzero()[:, 0]).numel():
                members[far[: len(empty)]], far = empty, far[len(empty) :]
            settled = torch.equal(members, self.members)
            self.members.copy_(members)
            centroids = self._means(table)
            if settled:
                break

    def _means(self, table: Words) -> Float[Tensor, "entries d"]:
        counts = torch.bincount(self.members, minlength=self.size).to(table.dtype)
        return table.new_zeros(self.size, table.shape[1]).index_add(0, self.members, table) / counts[:, None]

    def forward(self, words: Words) -> Span:
        rows = self._means(words)
        return Span(rows.mean(0), rows, rows.mean(0))

    def spread(self, coefficients: Float[Tensor, "n entries"], vocabulary: int) -> Float[Tensor, "n v"]:
        counts = torch.bincount(self.members, minlength=self.size).to(coefficients.dtype)
        return (coefficients / counts)[:, self.members]


class Principal(Basis):
    """The ``size`` directions along which words spread most.

    Args:
        vocabulary: words there are.
        size: directions, at most as many as channels and words.
    """

    mixtures: Tensor

    def __init__(self, vocabulary: int, size: int) -> None:
        super().__init__(size)
        self.register_buffer("mixtures", torch.zeros(size, vocabulary))

    @torch.no_grad()
    def settle(self, words: Words) -> None:
        """Directions as mixtures of words: the left singular vectors of the table less its mean."""
        if self.size > min(words.shape):
            raise InputError(f"{len(words)} words of {words.shape[1]} channels have no {self.size} directions")
        left, _, _ = torch.linalg.svd(words.float() - words.float().mean(0), full_matrices=False)
        self.mixtures.copy_(left[:, : self.size].mT / len(words) ** 0.5)

    def forward(self, words: Words) -> Span:
        mean = words.mean(0)
        rows = self.mixtures @ words - self.mixtures.sum(1, keepdim=True) * mean
        return Span(mean, rows, torch.zeros_like(mean))

    def spread(self, coefficients: Float[Tensor, "n entries"], vocabulary: int) -> Float[Tensor, "n v"]:
        return coefficients @ self.mixtures


def _nearest(table: Words, centroids: Float[Tensor, "entries d"]) -> tuple[Float[Tensor, "v"], Int[Tensor, "v"]]:
    """Distance and number of every word's nearest centroid, some words at a time."""
    found = [torch.cdist(part, centroids).min(1) for part in table.split(max(FLOATS // len(centroids), 1))]
    return torch.cat([part.values for part in found]), torch.cat([part.indices for part in found])


def _placed(
    coefficients: Float[Tensor, "n entries"], ids: Int[Tensor, "entries"], vocabulary: int
) -> Float[Tensor, "n v"]:
    held = ids < vocabulary
    empty = coefficients.new_zeros(len(coefficients), vocabulary)
    return empty.index_add(1, ids[held], coefficients[:, held])
