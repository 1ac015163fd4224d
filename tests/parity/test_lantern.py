"""LANTERN against the authors' code: neighbours, the tree, and what is verified of it with the recorded draws."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from tests.parity.goldens import Golden, agree, goldens
from torch import Tensor

from limner.decode.accepting import exact, likeliest
from limner.decode.paths import Accept, Followed, Shape, follow, in_turn, longest, tree
from limner.generators.heads.categorical import probabilities
from limner.generators.heads.head import SamplingOptions
from limner.recipes.techniques.lantern import TREE, Knobs, nearest, relaxed, relaxed_surely
from limner.types import Rng

CASES = goldens("lantern")
TRIALS = [
    pytest.param(case.values[0], trial, variant, id=f"{case.id}-{trial}-{variant}")
    for case in CASES
    for trial in range(case.values[0].config["trials"])
    for variant in case.values[0].config["variants"]
]


class Uniforms(Rng):
    """The recorded draws, in their order."""

    def __init__(self, recorded: Tensor) -> None:
        super().__init__(0)
        self.recorded, self.used = recorded, 0

    def uniform(self, *shape: int) -> Tensor:
        taken = self.recorded[self.used : self.used + torch.Size(shape).numel()]
        self.used += len(taken)
        return taken.reshape(shape)


def shape_of(golden: Golden) -> Shape:
    """Our tree of the nodes that the fixture's buffers say."""
    width = golden["in.static.0.draft_tokens.0"].shape[1]
    ranks = (golden["out.tree.indices"][1:] - 1) % width
    mask = golden["out.tree.attn_mask"].bool()
    above = [row[1:].nonzero()[:, 0] for row in mask[1:]]
    return tree([tuple(ranks[nodes].tolist()) for nodes in above])(len(golden["out.tree.indices"]))


def drafted(golden: Golden, trial: int, shape: Shape) -> tuple[Tensor, Tensor]:
    """q and ids of each path, level by level; each distinct parent has a row of the record."""
    q, ids = [], []
    for level in range(shape.ranks.shape[1]):
        shares, tokens = (golden[f"in.static.{trial}.draft_{part}.{level}"] for part in ("probs", "tokens"))
        expanded = shape.ranks[:, level] >= 0
        parents = torch.unique(shape.ranks[expanded, :level], dim=0, return_inverse=True)[1] if level else 0
        row = torch.zeros(len(expanded), dtype=torch.long)
        row[expanded] = parents
        q.append(shares[row])
        ids.append(tokens[row, shape.ranks[:, level].clamp_min(0)])
    return torch.stack(q, dim=1), torch.stack(ids, dim=1)


def paths_of(golden: Golden, values: Tensor) -> Tensor:
    """Values of nodes as values along paths."""
    return values[golden["out.tree.retrieve_indices"].clamp_min(0)]


def knobs_of(golden: Golden, variant: str) -> Knobs:
    chosen = golden.config["variants"][variant]
    if not chosen["lantern"]:
        return Knobs(neighbours=0)
    return Knobs(neighbours=chosen["lantern_k"], delta=chosen["lantern_delta"])


def rules(golden: Golden, variant: str) -> tuple[Accept, partial[Tensor]]:
    knobs = knobs_of(golden, variant)
    near = nearest(golden["in.codebook"], knobs.neighbours + 1)
    if variant == "exact" or not golden.config["variants"][variant]["lantern"]:
        return exact, partial(likeliest)
    return partial(relaxed, near=near, knobs=knobs), partial(relaxed_surely, near=near, knobs=knobs)


def found_as(golden: Golden, trial: int, variant: str, kind: str, found: Followed) -> None:
    wanted = f"out.static.{trial}.{variant}.{kind}"
    assert found.agreed == int(golden[f"{wanted}.accept"])
    candidates, length = golden[f"out.static.{trial}.candidates"], 1 + found.agreed
    assert torch.equal(candidates[found.path, :length], candidates[int(golden[f"{wanted}.best"]), :length])


def target(golden: Golden, trial: int) -> Tensor:
    config = golden.config
    options = SamplingOptions(temperature=config["temperature"], top_k=config["top_k"], top_p=config["top_p"] or 1.0)
    return paths_of(golden, probabilities(golden[f"in.static.{trial}.target_logits"], options))


@pytest.mark.parametrize("golden", CASES)
def test_neighbours_and_tree_are_the_authors(golden: Golden) -> None:
    wanted = golden["out.nearest"]
    assert torch.equal(nearest(golden["in.codebook"], wanted.shape[1]).long(), wanted)
    shape, indices = shape_of(golden), golden["out.tree.retrieve_indices"]
    width = golden["in.static.0.draft_tokens.0"].shape[1]
    ranks = torch.where(indices < 0, -1, (golden["out.tree.indices"][indices.clamp_min(0)] - 1) % width)[:, 1:]
    assert torch.equal(shape.ranks, ranks)
    if golden.config["tree"] == "mc_sim":
        assert torch.equal(tree(TREE)(9).ranks, ranks)


@pytest.mark.parametrize("golden", CASES)
def test_drafts_of_a_tree_lie_where_the_authors_put_them(golden: Golden) -> None:
    shape = shape_of(golden)
    for trial in range(golden.config["trials"]):
        _, ids = drafted(golden, trial, shape)
        candidates = golden[f"out.static.{trial}.candidates"][:, 1:]
        assert torch.equal(torch.where(shape.ranks < 0, -1, ids), candidates)


@pytest.mark.parametrize(("golden", "trial", "variant"), TRIALS)
def test_drafts_that_were_drawn_are_verified_as_the_authors_do(golden: Golden, trial: int, variant: str) -> None:
    shape, (accept, _) = shape_of(golden), rules(golden, variant)
    q, ids = drafted(golden, trial, shape)
    rng = Uniforms(golden[f"in.static.{trial}.uniforms"])
    found = follow(target(golden, trial), q, ids, shape, in_turn(accept), rng)
    found_as(golden, trial, variant, "v1", found)
    assert rng.used == int(golden[f"out.static.{trial}.{variant}.v1.used"])
    agree(found.rest, golden[f"out.static.{trial}.{variant}.v1.next_probs"], 1e-5)


@pytest.mark.parametrize(("golden", "trial", "variant"), TRIALS)
def test_certain_drafts_are_verified_as_the_authors_do(golden: Golden, trial: int, variant: str) -> None:
    """Their dynamic tree (EAGLE-2) takes a drafter's likeliest ids, each with a q of 1."""
    shape, (accept, _) = shape_of(golden), rules(golden, variant)
    _, ids = drafted(golden, trial, shape)

    def certain(p: Tensor, q: Tensor, x: Tensor, rng: Rng) -> tuple[Tensor, Tensor]:
        return accept(p, torch.zeros_like(p).scatter(-1, x[..., None], 1.0), x, rng)

    even, rng = torch.ones(*ids.shape, len(golden["in.codebook"])), Uniforms(golden[f"in.static.{trial}.uniforms"])
    found = follow(target(golden, trial), even, ids, shape, in_turn(certain), rng)
    found_as(golden, trial, variant, "dyn", found)
    assert rng.used == int(golden[f"out.static.{trial}.{variant}.dyn.used"])
    agree(found.rest, golden[f"out.static.{trial}.{variant}.dyn.next_probs"], 1e-5)


@pytest.mark.parametrize(("golden", "trial", "variant"), TRIALS)
def test_without_randomness_the_longest_path_stays(golden: Golden, trial: int, variant: str) -> None:
    shape, (_, surely) = shape_of(golden), rules(golden, variant)
    _, ids = drafted(golden, trial, shape)
    p = paths_of(golden, golden[f"in.static.{trial}.target_logits"].softmax(-1))
    found_as(golden, trial, variant, "greedy", longest(p, surely(p[:, :-1], ids), shape))
