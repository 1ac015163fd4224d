"""Several drafts per position: paths that lie side by side, each a row of one pass.

    independent    each path is drawn by itself                             (SpecTr, arXiv:2310.15141)
    tree           drafts of one parent are drawn without replacement       (SpecInfer, arXiv:2305.09781)

From level to level those paths go on that agree with what was accepted. The drafts of one parent are tried in turn:
what a refusal leaves of p is what the next is tried against, and q is what was left when it was drawn,

    q_j = q without x_1 .. x_j-1, renormalised      p <- (p - q_j)+ / sum (p - q_j)+      after x_j was refused

so that each trial, and all of them together, keep the law of p if the rule of one trial does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from limner.generators.heads.categorical import Shares
from limner.types import Rng

Accept: TypeAlias = Callable[[Shares, Shares, Int[Tensor, "b m"], Rng], tuple[Bool[Tensor, "b m"], Shares]]
"""``accept(p, q, drafted, rng) -> (accepted, residual)``: which drafts stay if all before them do, and what the first
that does not is drawn from."""

Choose: TypeAlias = Callable[[Float[Tensor, "v"], Float[Tensor, "s v"], Int[Tensor, "s"], Rng], tuple[int, Tensor]]
"""``choose(p, q, drafted, rng) -> (index, residual)``: which draft of one position stays, or -1, and what is drawn from
then."""


class Shape(NamedTuple):
    """How the drafts of one image hang together.

    ``draws``: which draw of its level each draft is of, a number for each parent; ``ranks``: which of the ids that this
    draw brings, in the order of their drawing and without replacement; -1 where a path has ended.
    """

    draws: Int[Tensor, "paths m"]
    ranks: Int[Tensor, "paths m"]


class Branches(NamedTuple):
    """Paths, made for a window, and the rule by which one of the drafts of a position is chosen; None: in turn."""

    shape: Callable[[int], Shape]
    choose: Choose | None = None


def independent(count: int) -> Callable[[int], Shape]:
    """So many paths, each drawn by itself."""

    def shape(window: int) -> Shape:
        own = torch.arange(count)[:, None].expand(-1, window)
        return Shape(own, torch.zeros_like(own))

    return shape


def tree(choices: Sequence[tuple[int, ...]]) -> Callable[[int], Shape]:
    """A tree, each node of which is given by the ranks that lead to it; each parent's come from 0 on."""

    def shape(window: int) -> Shape:
        nodes = {node[:window] for node in choices}
        leaves = [node for node in nodes if not any(other[:-1] == node for other in nodes)]
        depth, last = max(map(len, leaves)), max(map(max, leaves)) + 1
        # In the order of verification; a path that ends earlier comes after its siblings' longer ones.
        leaves.sort(key=lambda node: [*node, *[last] * (depth - len(node))])
        ranks = torch.tensor([[*node, *[-1] * (depth - len(node))] for node in leaves])
        draws = [torch.unique(ranks[:, :level], dim=0, return_inverse=True)[1] for level in range(1, depth)]
        return Shape(torch.stack([torch.zeros(len(leaves), dtype=torch.long), *draws], dim=1), ranks)

    return shape


def draw(
    q: Float[Tensor, "b paths v"], draws: Int[Tensor, "paths"], ranks: Int[Tensor, "paths"], rng: Rng
) -> Int[Tensor, "b paths"]:
    """An id per path from the distribution of its parent: without replacement among the paths of one draw, by the
    largest of ``log q + gumbel`` (Kool et al., arXiv:1903.06059)."""
    number = int(draws.max()) + 1
    first = torch.stack([(draws == index).nonzero()[0, 0] for index in range(number)])
    uniform = rng.uniform(len(q), number, q.shape[-1]).clamp_min(1e-20)
    keys = q[:, first].log() - (-uniform.log()).log()
    order = keys.topk(int(ranks.max().clamp_min(0)) + 1, dim=-1).indices
    return order[:, draws, ranks.clamp_min(0)]


def in_turn(accept: Accept) -> Choose:
    """Drafts of one parent, drawn without replacement, are tried by ``accept`` one after the other."""

    def choose(
        p: Float[Tensor, "v"], q: Float[Tensor, "s v"], drafted: Int[Tensor, "s"], rng: Rng
    ) -> tuple[int, Float[Tensor, "v"]]:
        left, tried = q[0], set[int]()
        for index, x in enumerate(drafted.tolist()):
            if x in tried:
                continue
            tried.add(x)
            stays, rest = accept(p[None, None], left[None, None], drafted[None, index : index + 1], rng)
            if left[x] <= 0:
                continue
            if stays:
                return index, rest[0, 0]
            p, left = rest[0, 0], left.index_fill(0, drafted[index], 0.0)
            left = left / left.sum()
        return -1, p

    return choose


class Followed(NamedTuple):
    """Which path of an image was accepted, how far, and what is drawn from behind that."""

    path: int
    agreed: int
    rest: Float[Tensor, "v"]


def follow(
    p: Float[Tensor, "paths more v"],
    q: Float[Tensor, "paths m v"],
    ids: Int[Tensor, "paths m"],
    shape: Shape,
    choose: Choose,
    rng: Rng,
) -> Followed:
    """The paths of one image, level by level."""
    alive, path = torch.ones(len(ids), dtype=torch.bool), 0
    for level in range(ids.shape[1]):
        there = (alive & (shape.ranks[:, level] >= 0)).nonzero()[:, 0]
        if not len(there):
            return Followed(path, level, p[path, level])
        chosen, rest = choose(p[path, level], q[there, level], ids[there, level], rng)
        if chosen < 0:
            return Followed(path, level, rest)
        path = int(there[chosen])
        alive &= (shape.ranks[:, level] >= 0) & (ids[:, level] == ids[path, level]).cpu()
    return Followed(path, ids.shape[1], p[path, -1])


def longest(p: Float[Tensor, "paths more v"], accepted: Bool[Tensor, "paths m"], shape: Shape) -> Followed:
    """The path of which most drafts stay, the first such, each draft being judged by itself."""
    agreed = (accepted & (shape.ranks >= 0).to(accepted.device)).long().cumprod(1).sum(1)
    path = int(agreed.argmax())
    return Followed(path, int(agreed[path]), p[path, agreed[path]])
