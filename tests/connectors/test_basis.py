"""The language basis: its hull, gain and memory, what it says it sees, and its life with another language model."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from limner.connectors.bases import AllWords, Basis, ChosenWords, Clusters, Principal
from limner.connectors.basis import LanguageBasis, Leak
from limner.connectors.coefficients import Phi, Softmax, Sparsemax, TopK, Unconstrained
from limner.connectors.connector import Connector, WordMixture
from limner.connectors.controls import Matched
from limner.connectors.mixing import mix
from limner.connectors.scores import AttentionHead, DenseHead
from limner.connectors.ties import Snapshot, Stopped
from limner.errors import InputError
from limner.types import Patches

V, D, F = 60, 8, 10
CONVEX: dict[str, Callable[[], Phi]] = {"softmax": Softmax, "sparsemax": Sparsemax, "top-k": lambda: TopK(4)}


def words(seed: int = 0, width: int = D) -> Tensor:
    return 0.3 * torch.randn(V, width, generator=torch.Generator().manual_seed(seed)) + 0.1


def features(seed: int = 0, count: int = 5) -> Tensor:
    return torch.randn(2, count, F, generator=torch.Generator().manual_seed(seed))


def patches() -> Patches:
    return Patches.on_grid(features(), 1, 5)


def build(phi: Phi | None = None, basis: Basis | None = None, *, head: str = "dense", **options) -> LanguageBasis:
    torch.manual_seed(0)
    basis = basis or AllWords(V)
    made = DenseHead(nn.LayerNorm(F), F, basis.size) if head == "dense" else AttentionHead(nn.LayerNorm(F), F, D)
    connector = LanguageBasis(made, phi or Softmax(), basis, **options)
    connector.settle(words(), features())
    return connector


@pytest.mark.parametrize("head", ["dense", "attention"])
def test_it_is_a_connector_that_reads(head: str) -> None:
    connector = build(head=head)
    assert isinstance(connector, Connector)
    assert isinstance(connector, WordMixture)
    assert connector(patches(), words()).shape == (2, 5, D)


# The hull


@pytest.mark.parametrize("phi", CONVEX.values(), ids=CONVEX)
def test_convex_mixtures_lie_in_the_hull_of_the_words(phi: Callable[[], Phi]) -> None:
    """In every direction they reach at most as far as the farthest word; with a gain g, g times as far off the mean."""
    directions = torch.randn(D, 200)
    table = words()
    plain = build(phi(), centred=False)(patches(), table)
    assert torch.allclose(plain, build(phi(), centred=False).coefficients(features(), table) @ table, atol=1e-5)
    assert ((plain @ directions).amax((0, 1)) <= (table @ directions).amax(0) + 1e-5).all()
    centred = build(phi())
    around, rows = centred(patches(), table) - table.mean(0), table - table.mean(0)
    reach = (rows @ directions).amax(0) * centred.log_gain.exp()
    assert ((around @ directions).amax((0, 1)) <= reach + 1e-5).all()


@pytest.mark.parametrize("basis", [AllWords(V), Clusters(V, 12), Principal(V, 5), Matched(20, D)])
@torch.no_grad()
def test_the_gain_starts_at_the_length_of_a_word(basis: Basis) -> None:
    connector, table = build(basis=basis), words()
    around = connector(patches(), table) - basis(table).mean
    assert float(around.square().mean() / table.var(0, unbiased=False).mean()) == pytest.approx(1, rel=1e-4)


def test_without_a_gain_softmax_collapses_to_the_mean() -> None:
    """Scores of unit variance over K words: sum (c - 1/K)^2 = (e - 1) / K is what is left of a word's square length."""
    torch.manual_seed(0)
    table = torch.randn(4000, D)
    head = DenseHead(nn.LayerNorm(64), 64, 4000)
    connector = LanguageBasis(head, Softmax(), AllWords(4000), centred=False)
    around = connector(Patches.on_grid(torch.randn(1, 200, 64), 10, 20), table) - table.mean(0)
    share = float((around.square().mean() / table.var(0).mean()).sqrt().detach())
    assert share == pytest.approx(math.sqrt((math.e - 1) / 4000), rel=0.1)


# Words


@pytest.mark.parametrize("phi", [*CONVEX.values(), Unconstrained], ids=[*CONVEX, "unconstrained"])
def test_permuted_rows_are_no_change(phi: Callable[[], Phi]) -> None:
    order = torch.randperm(V, generator=torch.Generator().manual_seed(1))
    connector, other = build(phi()).double(), build(phi()).double()
    with torch.no_grad():
        other.head.output.weight.copy_(connector.head.output.weight[order])
        other.head.output.bias.copy_(connector.head.output.bias[order])
    table, seen = words().double(), Patches.on_grid(features().double(), 1, 5)
    tolerance = {"atol": 1e-6}  # coefficients are fp32
    assert torch.allclose(connector(seen, table), other(seen, table[order]), **tolerance)
    assert not torch.allclose(connector(seen, table), connector(seen, table[order]), **tolerance)
    ids, weights = connector.top_words(seen, table, 3)
    moved, same = other.top_words(seen, table[order], 3)
    assert torch.equal(order[moved][same > 0], ids[weights > 0])
    assert torch.allclose(weights, same)


def test_attention_to_words_cares_for_no_order_at_all() -> None:
    order = torch.randperm(V, generator=torch.Generator().manual_seed(1))
    connector = build(head="attention")
    assert torch.allclose(connector(patches(), words()), connector(patches(), words()[order]), atol=1e-5)


def test_unconstrained_mixtures_of_all_words_are_an_mlp() -> None:
    """Its last factor is W E, and descent on W moves it by the gradient times E' E (METHOD: the empty constraint)."""
    connector, table = build(Unconstrained(), centred=False), words()
    trunk, output = connector.head.trunk, connector.head.output
    factor = (table.T @ output.weight).detach().requires_grad_()
    target = torch.randn(2, 5, D)
    mlp = trunk(features()) @ factor.T + output.bias @ table
    found = connector(patches(), table)
    assert torch.allclose(found, mlp, atol=1e-5)
    (weight_grad,) = torch.autograd.grad((found - target).square().sum(), output.weight)
    (factor_grad,) = torch.autograd.grad((mlp - target).square().sum(), factor)
    assert torch.allclose(table.T @ weight_grad, table.T @ table @ factor_grad, rtol=1e-3, atol=1e-3)


def test_any_vector_is_an_unconstrained_mixture_and_few_are_convex_ones() -> None:
    assert int(torch.linalg.matrix_rank(words())) == D
    wanted, table = 5 * torch.randn(1, 5, D), words()
    coefficients = torch.linalg.lstsq(table.T, wanted[0].T).solution
    assert torch.allclose(table.T @ coefficients, wanted[0].T, atol=1e-4)


def test_top_words_are_the_heaviest() -> None:
    connector, table = build(), words()
    ids, weights = connector.top_words(patches(), table, 4)
    every = connector.coefficients(features(), table)
    assert torch.allclose(weights, every.topk(4).values)
    assert torch.equal(every.gather(-1, ids), weights)
    connector.floats = V  # one token at a time
    assert torch.equal(connector.top_words(patches(), table, 4)[0], ids)


def test_words_of_a_basis_of_mixtures() -> None:
    chosen = torch.tensor([50, 3, 7, 20])
    ids, _ = build(basis=ChosenWords(chosen)).top_words(patches(), words(), 4)
    assert set(ids.unique().tolist()) == {3, 7, 20, 50}
    clusters = build(basis=Clusters(V, 6))
    ids, weights = clusters.top_words(patches(), words(), V)
    assert torch.allclose(weights.sum(-1), torch.ones(2, 5), atol=1e-5)
    heaviest = clusters.coefficients(features(), words()) / torch.bincount(clusters.basis.members)
    assert torch.equal(clusters.basis.members[ids[..., 0]], heaviest.argmax(-1))


# Ties, leak, start


def test_ties() -> None:
    for basis, taught in ((AllWords(V), True), (Stopped(AllWords(V)), False), (Snapshot(AllWords(V), D), False)):
        table = words().requires_grad_()
        connector = build(basis=basis)
        connector(patches(), table).square().sum().backward()
        assert (table.grad is not None) == taught
        assert connector.head.output.weight.grad.abs().sum() > 0
        assert connector.log_gain.grad.abs() > 0


def test_a_leak_starts_at_nothing_and_is_learnt() -> None:
    with_leak, without = build(leak=Leak(F, 2, D)), build()
    without.load_state_dict({k: v for k, v in with_leak.state_dict().items() if not k.startswith("leak")})
    assert torch.equal(with_leak(patches(), words()), without(patches(), words()))
    with_leak(patches(), words()).square().sum().backward()
    assert with_leak.leak.alpha.grad.abs() > 0
    with torch.no_grad():
        with_leak.leak.alpha.fill_(1.0)
    beside = with_leak(patches(), words()) - without(patches(), words())
    assert int(torch.linalg.matrix_rank(beside.flatten(0, 1), atol=1e-4)) == 2


def test_it_starts_from_a_classifier_into_words() -> None:
    torch.manual_seed(1)
    classifier = nn.Linear(F, 30)
    head = DenseHead(nn.Identity(), F, 4)
    head.start_from(classifier.weight, classifier.bias, torch.tensor([5, -1, 0, 29]))
    found, wanted = head.scores(features()[0], words()[:4]), classifier(features()[0])
    assert torch.allclose(found[:, [0, 2, 3]], wanted[:, [5, 0, 29]])
    assert torch.allclose(found[:, 1], classifier.bias.min().expand(5))


# Another language model


@pytest.mark.parametrize("wrap", [lambda b: b, Stopped, lambda b: Snapshot(b, D)], ids=["live", "stopped", "snapshot"])
@pytest.mark.parametrize("make", [lambda: AllWords(V), lambda: Clusters(V, 12), lambda: Principal(V, 5)])
def test_another_language_model_is_told_the_same_words(make: Callable[[], Basis], wrap: Callable) -> None:
    connector, old, new = build(basis=wrap(make())), words(), 3 * words(4, width=12)
    with torch.no_grad():
        connector.log_gain += 0.5  # as training may leave it
        around = (connector(patches(), old) - connector.basis(old).mean).square().mean() / old.var(0).mean()
        ids, weights = connector.top_words(patches(), old, 3)
        connector.swap(features(), old, new)
        after = connector(patches(), new)
        assert after.shape == (2, 5, 12)
        moved = (after - connector.basis(new).mean).square().mean() / new.var(0).mean()
    assert float(moved) == pytest.approx(float(around), rel=1e-4)
    told, by = connector.top_words(patches(), new, 3)
    assert torch.equal(told, ids)
    assert torch.allclose(by, weights)


def test_a_leak_cannot_follow() -> None:
    connector = build(leak=Leak(F, 2, D))
    connector.swap(features(), words(), words(1))
    with pytest.raises(InputError, match="cannot follow to 12"):
        connector.swap(features(), words(), words(1, width=12))


# Memory


def peak(run: Callable[[], object]) -> int:
    """Most bytes that torch held at a time beyond those it held before."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        run()
    events = profile.profiler.kineto_results.events()
    moves = sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]")
    held = most = 0
    for _, size in moves:
        held += size
        most = max(most, held)
    return most


@pytest.mark.parametrize("phi", [*CONVEX.values(), Unconstrained], ids=[*CONVEX, "unconstrained"])
def test_parts_are_exact(phi: Callable[[], Phi]) -> None:
    grads = []
    for floats in (2**25, 3 * V):
        table = words().requires_grad_()
        connector = build(phi(), floats=floats)
        vectors = connector(patches(), table)
        vectors.square().sum().backward()
        grads.append([vectors.detach(), table.grad, *(p.grad for p in connector.parameters())])
    for one, other in zip(*grads, strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("training", [True, False])
def test_coefficients_are_never_there_all_at_once(training: bool) -> None:
    """1,024 tokens over 4,096 words: 16 MiB of coefficients, several times over unless they come in parts."""
    tokens, entries, width = 1024, 4096, 16
    hidden = torch.randn(1, tokens, F)
    table, output, phi = torch.randn(entries, width), nn.Linear(F, entries), Softmax()

    def run(floats: int) -> Callable[[], None]:
        def pass_both_ways() -> None:
            with torch.set_grad_enabled(training):
                mixed = mix(lambda some, rows: phi(output(some)), hidden, table, floats=floats)
                if training:
                    mixed.sum().backward()

        return pass_both_ways

    everything, coefficients = tokens * entries, 4 * tokens * entries
    naive, parts = peak(run(everything)), peak(run(everything // 64))
    assert naive > 1.9 * coefficients
    assert parts < coefficients / 4
