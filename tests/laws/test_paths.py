"""Several drafts per position: trees and independent paths keep the generator's law, and a batch is its pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from tests.laws.test_speculative import LABELS, SEEDS, distributions, generator, law, llama, of_group, passes
from torch import Tensor

from limner.decode.accepting import exact, residual
from limner.decode.decoder import Decoder
from limner.decode.drafting import Drafter, jacobi
from limner.decode.paths import Branches, draw, follow, in_turn, independent, tree
from limner.decode.schedules import linear
from limner.decode.speculative import Speculative, accepting, drafting
from limner.errors import InputError
from limner.generators.heads.head import SamplingOptions
from limner.recipes.techniques.spectr import k_seq, rate, smallest_rho
from limner.types import Rng

TWIGS = tree([(0,), (1,), (0, 0), (0, 1), (1, 0), (0, 0, 0)])


def other(rows: int = 4, entries: int = 12) -> Drafter:
    """A drafter that knows something of the generator, and not all."""
    made = generator(rows=rows, entries=entries)
    with torch.no_grad():
        made.head.output.weight.add_(0.2 * torch.randn(made.head.output.weight.shape))
    return Drafter(made)


def two_laws(entries: int, seed: int) -> tuple[Tensor, Tensor]:
    p, q = (distributions(1, entries, 10 * seed + part)[0, 0].double() for part in (1, 2))
    return p / p.sum(), q / q.sum()


def chi_square(decoder: Decoder, draws: int, entries: int) -> float:
    expected = law(decoder, entries)
    drawn = decoder(torch.full((draws,), 2), Rng(1)).tolist()
    return sum((drawn.count(list(each)) - draws * share) ** 2 / (draws * share) for each, share in expected.items())


# Shapes


def test_a_tree_is_its_paths_from_root_to_leaf() -> None:
    shape = TWIGS(9)
    assert shape.ranks.tolist() == [[0, 0, 0], [0, 1, -1], [1, 0, -1]]
    first, second, third = shape.draws.T.tolist()
    assert first == [0, 0, 0]
    assert second[0] == second[1] != second[2]
    assert len(set(third)) == 3
    assert TWIGS(1).ranks.tolist() == [[0], [1]]


@pytest.mark.parametrize("shape", [tree([(0,), (1,), (2,)])(1), independent(3)(1)])
def test_siblings_differ_and_independent_drafts_need_not(shape: tuple[Tensor, Tensor]) -> None:
    q = distributions(1, 4, 5)[0].expand(20_000, 3, 4)
    ids = draw(q, shape[0][:, 0], shape[1][:, 0], Rng(0))
    shares = torch.bincount(ids[:, 0], minlength=4) / len(ids)
    torch.testing.assert_close(shares, q[0, 0], rtol=0, atol=0.015)
    same = (ids[:, 0] == ids[:, 1]).float().mean()
    assert same == (0 if shape[1].any() else pytest.approx(float(q[0, 0].square().sum()), abs=0.02))


# Choosing


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("trials", [1, 2, 3])
def test_k_seq_has_the_law_of_p(seed: int, trials: int) -> None:
    """Every set of drafts and every probability counted: ``sum_X q(X) P(y comes out)`` is p(y)."""
    p, q = two_laws(4, seed)
    rho = smallest_rho(p.numpy(), q.numpy(), trials)
    out = torch.zeros(4, dtype=torch.float64)
    stays = (p / (rho * q)).clamp_max(1.0)
    for drafts in product(range(4), repeat=trials):
        weight, left = float(q[list(drafts)].prod()), 1.0
        for x in drafts:
            out[x] += weight * left * stays[x]
            left *= 1 - float(stays[x])
        chosen, rest = k_seq(p, q.expand(trials, -1), torch.tensor(drafts), Ones(0))
        assert chosen == -1 or stays[list(drafts)].max() == 1
        out += weight * left * rest
    torch.testing.assert_close(out, p, rtol=0, atol=1e-9)


class Ones(Rng):
    """Uniform numbers that refuse all that may be refused."""

    def uniform(self, *shape: int) -> Tensor:
        return torch.full(shape, 1 - 1e-12, dtype=torch.float64)


@pytest.mark.parametrize("seed", range(6))
def test_k_seq_keeps_a_draft_nearly_as_often_as_can_be(seed: int) -> None:
    """Against the best coupling of k drafts and one token, by linear programming (Sun et al., Theorem 2)."""
    from scipy.optimize import linprog

    entries, trials = 4, 2
    p, q = (law.numpy() for law in two_laws(entries, seed))
    sets = list(product(range(entries), repeat=trials))
    gain = np.array([[-float(y in drafts) for y in range(entries)] for drafts in sets]).ravel()
    of_drafts = np.kron(np.eye(len(sets)), np.ones(entries))
    of_token = np.kron(np.ones(len(sets)), np.eye(entries))
    weights = np.array([np.prod(q[list(drafts)]) for drafts in sets])
    best = -linprog(gain, A_eq=np.vstack([of_drafts, of_token]), b_eq=np.concatenate([weights, p])).fun
    beta, _ = rate(p, q, smallest_rho(p, q, trials), trials)
    assert (1 - (1 - 1 / trials) ** trials) * best <= 1 - (1 - beta) ** trials <= best + 1e-9


def test_one_draft_is_ordinary_speculative_decoding() -> None:
    p, q = two_laws(6, 0)
    assert smallest_rho(p.numpy(), q.numpy(), 1) == 1.0
    for x in range(6):
        chosen, rest = k_seq(p, q[None], torch.tensor([x]), Rng(x))
        stays, wanted = exact(p[None, None], q[None, None], torch.tensor([[x]]), Rng(x))
        assert (chosen == 0) == bool(stays)
        torch.testing.assert_close(rest, wanted[0, 0])


@pytest.mark.parametrize("seed", range(3))
def test_siblings_in_turn_have_the_law_of_p(seed: int) -> None:
    """All orders of two drafts without replacement, and every probability counted."""
    p, q = two_laws(4, seed)
    out = torch.zeros(4, dtype=torch.float64)
    for first, second in product(range(4), repeat=2):
        if first == second:
            continue
        weight = q[first] * q[second] / (1 - q[first])
        once = (p[first] / q[first]).clamp_max(1.0)
        left = residual(p[None, None], q[None, None])[0, 0]
        again = q.index_fill(0, torch.tensor([first]), 0.0) / (1 - q[first])
        twice = (left[second] / again[second]).clamp_max(1.0)
        chosen, rest = in_turn(exact)(p, q.expand(2, -1), torch.tensor([first, second]), Ones(0))
        assert chosen == -1 or max(once, twice) == 1
        out[first] += weight * once
        out[second] += weight * (1 - once) * twice
        out += (
            weight
            * (1 - once)
            * (1 - twice)
            * (residual(left[None, None], again[None, None])[0, 0] if chosen >= 0 else rest)
        )
    torch.testing.assert_close(out, p, rtol=0, atol=1e-5)


def test_paths_that_left_are_not_tried_again() -> None:
    """What agrees with the accepted draft goes on; here the first level takes id 1, so the first path is out."""
    p = torch.eye(4)[[1, 2, 3]].expand(3, -1, -1)
    ids = torch.tensor([[0, 2], [1, 3], [1, 2]])
    q = torch.full((3, 2, 4), 0.25)
    found = follow(p, q, ids, independent(3)(2), k_seq, Rng(0))
    assert (found.path, found.agreed) == (2, 2)
    assert torch.equal(found.rest, p[2, 2])


# Drawing

STEPS: dict[str, Callable[[], Speculative]] = {
    "drafter": lambda: Speculative(other(1, 2), window=2),
    "independent": lambda: Speculative(other(1, 2), window=2, branches=Branches(independent(3), k_seq)),
    "own, independent": lambda: Speculative(jacobi, window=3, branches=Branches(independent(2), k_seq)),
    "tree": lambda: Speculative(other(1, 2), window=3, branches=Branches(TWIGS)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", STEPS)
def test_pictures_have_the_law_of_the_generator(name: str) -> None:
    """Chi-square of 400 pictures of three tokens of two ids; 30 of 7 degrees is passed once in 10,000."""
    made = generator(rows=1, entries=2)
    decoder = Decoder(made, SamplingOptions(guidance=2.0, temperature=0.8), guidance=linear, step=STEPS[name]())
    assert chi_square(decoder, 400, 2) < 30


@pytest.mark.parametrize("branches", [None, Branches(independent(3), k_seq), Branches(TWIGS)])
@pytest.mark.parametrize("guidance", [1.0, 2.5])
@pytest.mark.parametrize("draft", ["jacobi", "other"])
def test_a_batch_is_its_pictures_with_a_cache_or_without(
    branches: Branches | None, guidance: float, draft: str
) -> None:
    made, proposing = generator(), jacobi if draft == "jacobi" else other()
    step = Speculative(proposing, window=3, branches=branches)
    decoder = Decoder(made, SamplingOptions(guidance=guidance, top_k=9), step=step)
    together = decoder(LABELS, Rng(SEEDS))
    for row, seed in enumerate(SEEDS):
        assert torch.equal(decoder(LABELS[row : row + 1], Rng([seed])), together[row : row + 1])
    assert torch.equal(replace(decoder, cached=False)(LABELS, Rng(SEEDS)), together)
    assert not torch.equal(together[0], together[1])


@pytest.mark.parametrize("branches", [None, Branches(independent(3), k_seq), Branches(TWIGS)])
def test_the_likeliest_picture_is_the_same(branches: Branches | None) -> None:
    made, options = generator(llama, entries=3), SamplingOptions(guidance=1.5, temperature=0.0)
    plain, slow = passes(Decoder(made, options), LABELS[:1], Rng(0))
    step = Speculative(Drafter(made), window=3, branches=branches)
    quick, few = passes(Decoder(made, options, step=step), LABELS[:1], Rng(0))
    assert torch.equal(quick, plain)
    assert few <= slow + 1 == 13  # one, then three times a window of three drafts, whose passes count here, and theirs


def test_the_model_itself_drafts_what_is_always_accepted() -> None:
    made, known = generator(), []
    decoder = Decoder(made, step=Speculative(Drafter(made), window=3))
    decoder(LABELS, Rng(SEEDS), watch=lambda done, total, tokens, steps: known.append(done))
    assert known == [1, 5, 9, 12]


def test_more_paths_need_fewer_passes() -> None:
    def taken(count: int) -> int:
        step = Speculative(other(), window=3, branches=Branches(independent(count), k_seq))
        known: list[int] = []
        for seed in range(8):
            Decoder(generator(), step=step)(LABELS[:1], Rng([seed]), watch=lambda done, *_: known.append(done))
        return len(known)

    assert taken(6) < taken(1)


# Composing


def test_drafts_and_acceptance_compose_in_any_order_and_two_of_a_kind_do_not() -> None:
    made = generator()
    plain, draft, group = Decoder(made), other(), of_group(made, distance=100.0)
    one = accepting(drafting(plain, draft, 3), 16, accept=group).step
    two = drafting(accepting(plain, 16, accept=group), draft, 3).step
    assert one == two == Speculative(draft, group, window=3)
    with pytest.raises(InputError, match="two techniques would decide which drafts stay"):
        accepting(accepting(plain, 4, accept=group), 4, branches=Branches(independent(2), k_seq))
    with pytest.raises(InputError, match="two techniques would propose the drafts"):
        drafting(drafting(plain, draft, 3), draft, 3)
