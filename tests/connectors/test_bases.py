"""What bases are made of, and how they are tied to the words."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from limner.connectors.bases import (
    AllWords,
    Basis,
    ChosenWords,
    Clusters,
    Principal,
    most_frequent,
    random_subset,
)
from limner.connectors.controls import Learned, Matched
from limner.connectors.ties import Snapshot, Stopped
from limner.errors import InputError

V, D = 40, 6


def table(seed: int = 0, width: int = D) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    mixing = torch.randn(width, width, generator=rng)
    return torch.randn(V, width, generator=rng) @ mixing + 0.5


MADE: dict[str, Callable[[], Basis]] = {
    "all": lambda: AllWords(V),
    "chosen": lambda: ChosenWords(random_subset(V, 9, 0)),
    "clusters": lambda: Clusters(V, 7),
    "principal": lambda: Principal(V, 4),
    "matched": lambda: Matched(12, D),
    "learned": lambda: Learned(12, D),
}
OF_WORDS = ("all", "chosen", "clusters", "principal")


def settled(name: str, wrap: Callable[[Basis], Basis] = lambda basis: basis) -> Basis:
    torch.manual_seed(0)
    basis = wrap(MADE[name]())
    basis.settle(table())
    return basis


@pytest.mark.parametrize("name", MADE)
def test_shapes(name: str) -> None:
    basis = settled(name)
    span = basis(table())
    assert span.rows.shape == (basis.size, D)
    assert span.mean.shape == span.origin.shape == (D,)
    assert basis.spread(torch.ones(3, basis.size), V).shape == (3, V)


@pytest.mark.parametrize("name", OF_WORDS)
def test_vectors_are_the_mixtures_of_words_they_are_said_to_be(name: str) -> None:
    """Mixing the basis is mixing words by `spread`, about the same mean: for any coefficients and any other table."""
    basis, coefficients = settled(name), torch.randn(5, MADE[name]().size)
    for words in (table(), table(1), table(2, width=9)):
        span = basis(words)
        mixed = coefficients @ (span.rows - span.origin)
        weights = basis.spread(coefficients, V)
        total = weights.sum(1, keepdim=True)
        by_words = weights @ words - total * (span.origin if name != "principal" else span.mean)
        assert torch.allclose(mixed, by_words, atol=1e-4)


def test_means() -> None:
    words = table()
    assert torch.allclose(settled("all")(words).mean, words.mean(0))
    assert torch.allclose(settled("principal")(words).mean, words.mean(0))
    chosen = random_subset(V, 9, 0)
    assert torch.equal(settled("chosen")(words).rows, words[chosen])
    assert torch.allclose(settled("chosen")(words).mean, words[chosen].mean(0))


def test_subsets() -> None:
    assert len(set(random_subset(V, 9, 0).tolist())) == 9
    assert not torch.equal(random_subset(V, 9, 0), random_subset(V, 9, 1))
    assert most_frequent([[3, 3, 1], [], [1, 3, 2, 7, 7]], V, 3).tolist() == [1, 3, 7]


def test_k_means_finds_clusters_and_leaves_none_empty() -> None:
    centres = 10 * torch.eye(4)
    owner = torch.arange(V) % 4
    words = centres[owner] + 0.1 * torch.randn(V, 4, generator=torch.Generator().manual_seed(0))
    basis = Clusters(V, 4, seed=3)
    basis.settle(words)
    rows = basis(words).rows
    assert sorted(torch.cdist(rows, centres).argmin(1).tolist()) == [0, 1, 2, 3]
    assert float(torch.cdist(rows, centres).amin(1).max()) < 0.2
    many = Clusters(V, V - 2)
    many.settle(torch.cat([torch.zeros(V // 2, 4), words[: V - V // 2]]))  # half of the words are one
    assert (torch.bincount(many.members, minlength=V - 2) > 0).all()


def test_principal_directions_are_those_of_the_largest_spread() -> None:
    words, basis = table(), settled("principal")
    rows = basis(words).rows
    values, axes = torch.linalg.eigh((words - words.mean(0)).T @ (words - words.mean(0)) / V)
    assert torch.allclose(rows.square().sum(1), values.flip(0)[:4], rtol=1e-3)
    cosine = torch.nn.functional.cosine_similarity(rows, axes.T.flip(0)[:4])
    assert torch.allclose(cosine.abs(), torch.ones(4), atol=1e-3)


def test_a_matched_basis_has_the_mean_and_covariance_of_the_words() -> None:
    words, basis = table(), settled("matched")
    rows = basis(words).rows
    assert torch.allclose(rows.mean(0), words.mean(0), atol=1e-5)
    assert torch.allclose(torch.cov(rows.T, correction=0), torch.cov(words.T, correction=0), atol=1e-4)
    assert float(torch.cdist(rows, words).min()) > 0.1
    again = Matched(12, D, seed=1)(words).rows
    assert not torch.allclose(again, rows)


def test_a_matched_basis_of_another_table_shares_nothing() -> None:
    basis, other = settled("matched"), table(2, width=9)
    before = basis.noise
    basis.adopt(other)
    rows = basis(other).rows
    assert torch.allclose(torch.cov(rows.T, correction=0), torch.cov(other.T, correction=0), atol=1e-4)
    assert not torch.allclose(basis.noise[:, :D], before)


def test_a_learned_basis_starts_like_the_words() -> None:
    torch.manual_seed(0)
    basis = Learned(4000, D)
    basis.settle(table())
    rows = basis(table()).rows
    assert torch.allclose(rows.mean(0), table().mean(0), atol=0.2)
    assert torch.allclose(rows.std(0), table().std(0), rtol=0.1)


# Ties


@pytest.mark.parametrize("name", OF_WORDS)
def test_a_live_tie_teaches_words_and_a_stopped_one_does_not(name: str) -> None:
    words = table().requires_grad_()
    sum(part.square().sum() for part in settled(name)(words)).backward()
    assert float(words.grad.abs().sum()) > 0
    for wrap in (Stopped, lambda basis: Snapshot(basis, D)):
        assert not any(part.requires_grad for part in settled(name, wrap)(words))


@pytest.mark.parametrize("name", MADE)
def test_a_snapshot_stays(name: str) -> None:
    live, stopped = settled(name), settled(name, Stopped)
    kept = settled(name, lambda basis: Snapshot(basis, D))
    for one, other, third in zip(live(table()), stopped(table()), kept(table()), strict=True):
        assert torch.allclose(one, other)
        assert torch.allclose(one, third)
    for one, other in zip(kept(table(1)), live(table()), strict=True):
        assert torch.allclose(one, other)
    kept.adopt(table(2, width=9))
    assert kept(table()).rows.shape == (kept.size, 9) or name == "learned"


def test_a_snapshot_is_saved() -> None:
    kept = settled("clusters", lambda basis: Snapshot(basis, D))
    fresh = Snapshot(MADE["clusters"](), D)
    fresh.load_state_dict(kept.state_dict())
    assert torch.equal(fresh(table(5)).rows, kept(table(5)).rows)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Clusters(V, V + 1), "make no 41 clusters"),
        (lambda: Matched(D, D), "take more than 6"),
        (lambda: AllWords(V + 1)(table()), "mixes 41 words, not 40"),
        (lambda: Principal(V, D + 1).settle(table()), "have no 7 directions"),
    ],
)
def test_what_cannot_be(make: Callable[[], object], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        make()
