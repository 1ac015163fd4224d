"""GSD and speculative Jacobi decoding against the authors' samplers: a window of drafts, the same draws."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from tests.parity.goldens import Golden, Replay, agree, goldens
from torch import Tensor

from limner.decode.accepting import exact, residual, verify
from limner.decode.drafting import Drafts
from limner.decode.paths import Accept
from limner.recipes.techniques.gsd import Knobs, grouped

TRIALS = [
    pytest.param(case.values[0], trial, id=f"{case.id}-{trial}")
    for case in goldens("gsd")
    for trial in range(case.values[0].config["trials"])
]


def accept_of(golden: Golden, arm: str) -> Accept:
    """The authors' settings are the defaults."""
    table = golden["in.embed"]
    return exact if arm == "sjd" else partial(grouped, embed=lambda ids: table[ids], knobs=Knobs())


def window(golden: Golden, trial: int) -> tuple[Tensor, Drafts]:
    """p of every position, and the drafts: what stands first in an official window is known already, and row i - 1 of p
    is that of draft i."""
    given = {name: golden[f"in.{trial}.{name}"] for name in ("target_prob", "draft_tokens", "draft_prob")}
    return given["target_prob"], Drafts(given["draft_tokens"][:, 1:], given["draft_prob"][:, 1:])


def draws(golden: Golden, trial: int, refusals: Tensor) -> Replay:
    """The recorded draws as ours: of each draft its own, then of each position one that lands on the official id; where
    a draft is refused the recorded one, of refusals in the order of ``refusals``."""
    p, drafts = window(golden, trial)
    own = golden[f"in.{trial}.rand"][:, 1:].gather(-1, drafts.ids[..., None])
    ids = golden[f"in.{trial}.target_tokens"][..., None]
    uniform = ((p.double().cumsum(-1) - p.double() / 2).gather(-1, ids) / p.double().sum(-1, keepdim=True))[..., 0]
    uniform = uniform.float()
    for number, (row, place) in enumerate(refusals.tolist()):
        uniform[row, place] = golden[f"in.{trial}.resample_u"][number]
    return Replay(uniform=[own, uniform])


def refusals(golden: Golden, trial: int, arm: str) -> Tensor:
    """Row and position of each refused draft, in the order of the recorded draws: row by row."""
    matched = golden[f"out.{trial}.{arm}.matched"]
    length = golden[f"in.{trial}.draft_tokens"].shape[1]
    return torch.tensor([(row, int(found) - 1) for row, found in enumerate(matched) if found < length]).reshape(-1, 2)


@pytest.mark.parametrize("arm", ["gsd", "sjd"])
@pytest.mark.parametrize(("golden", "trial"), TRIALS)
def test_a_window_is_verified_as_the_authors_do(golden: Golden, trial: int, arm: str) -> None:
    p, drafts = window(golden, trial)
    where, out = refusals(golden, trial, arm), f"out.{trial}.{arm}"
    replay = draws(golden, trial, where)
    agreed, fresh = verify(p, drafts, accept_of(golden, arm), replay)
    replay.finish()
    assert torch.equal(agreed + 1, golden[f"{out}.matched"])
    assert torch.equal(fresh.ids, golden[f"{out}.tokens"])
    for row, count in enumerate(agreed.tolist()):  # officially what was accepted keeps its q, which nothing reads
        agree(fresh.shares[row, count:], golden[f"{out}.scores"][row, count:], 1e-6)
        agree(drafts.shares[row, :count], golden[f"{out}.scores"][row, :count], 1e-6)
    rest = residual(p[:, :-1], drafts.shares)
    for number, (row, place) in enumerate(where.tolist()):
        agree(rest[row, place], golden[f"{out}.residual.{number}"], 1e-5)


@pytest.mark.parametrize(("golden", "trial"), TRIALS)
def test_distances_are_between_embeddings(golden: Golden, trial: int) -> None:
    """An id's group is of those that are near by both measures, itself always; of an id among the least likely, only
    itself."""
    p, drafts = window(golden, trial)
    knobs, table = Knobs(), golden["in.embed"]
    agree((table[:, None] - table).square().sum(-1), golden["out.sqdist"], 1e-5)
    chosen = torch.zeros_like(drafts.shares).scatter(-1, drafts.ids[..., None], 1.0)
    near = golden["out.sqdist"] < knobs.distance
    for row, place in torch.cartesian_prod(*map(torch.arange, drafts.ids.shape)).tolist():
        shares, x = p[row, place], int(drafts.ids[row, place])
        order = shares.argsort(stable=True).tolist()
        rank = order.index(x)
        group = order[rank - knobs.radius : rank + knobs.radius] if rank >= knobs.radius else [x]
        group = [c for c in group if abs(shares[c] - shares[x]) < knobs.probability and near[c, x]]
        mass = float(shares[group].sum())
        for u in (mass - 1e-4, mass + 1e-4):
            if not 0 < u < 1:
                continue
            one = Replay(uniform=[torch.tensor([[u]])])
            kept, _ = grouped(
                shares[None, None],
                chosen[row, place][None, None],
                torch.tensor([[x]]),
                one,
                embed=lambda ids: table[ids],
                knobs=knobs,
            )
            assert bool(kept) == (u < mass)


@pytest.mark.parametrize(("golden", "trial"), TRIALS)
def test_a_group_of_one_is_exact(golden: Golden, trial: int) -> None:
    p, drafts = window(golden, trial)
    uniform = golden[f"in.{trial}.rand"][:, 1:].gather(-1, drafts.ids[..., None])
    table = golden["in.embed"]
    of_one = partial(grouped, embed=lambda ids: table[ids], knobs=Knobs(radius=0))
    found, wanted = (
        accept(p[:, :-1], drafts.shares, drafts.ids, Replay(uniform=[uniform])) for accept in (of_one, exact)
    )
    assert torch.equal(found[0], wanted[0])
    assert torch.equal(found[1], wanted[1])
