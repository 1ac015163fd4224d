"""Speculative decoding: a window of drafts is verified in one pass, and what is accepted has the generator's law.

    x_i ~ q_i          accepted with probability min(1, p_i(x_i) / q_i(x_i)), from left to right up to the first refusal
    refused            x_i ~ (p_i - q_i)+ / sum (p_i - q_i)+
    all accepted       one token more, of the last p

so that every token is distributed as p (Leviathan et al., arXiv:2211.17192, Section 2.3 and Appendix A.1), whatever q
is. A step knows one token more at least and ``window + 1`` at most. Rows accept different numbers and go on at their
own pace: the window of a pass covers those of all rows, and the cache keeps what holds for every row. At temperature 0
a draft stays if it is the likeliest id. Several drafts per position lie on paths side by side, see
`limner.decode.paths`; what proposes them, in `limner.decode.drafting`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from limner.decode.accepting import Surely, exact, likeliest, pick, verify
from limner.decode.decoder import Decoder
from limner.decode.drafting import Draft, Drafts, Standing, jacobi, settle, shares_between, side_by_side, write
from limner.decode.paths import Accept, Branches, Followed, Shape, follow, in_turn, independent, longest
from limner.decode.step import Predictor, Progress, by_order
from limner.errors import InputError
from limner.generators.heads.head import discrete
from limner.nn.transformer import take
from limner.types import Rng


class Window(NamedTuple):
    """What a step remembers: how many tokens each image knows, and the drafts behind them."""

    known: Int[Tensor, "b"]
    drafts: Drafts


@dataclass(frozen=True)
class Speculative:
    """A step of raster order for a head of ids.

    Args:
        draft: proposes.
        accept, surely: decide, above temperature 0 and at it.
        window: most drafts in a row that are verified in one pass.
        branches: paths of drafts side by side; None: one.
    """

    draft: Draft = jacobi
    accept: Accept = exact
    surely: Surely = likeliest
    window: int = 16
    branches: Branches | None = None

    def __post_init__(self) -> None:
        if self.window < 1:
            raise InputError(f"a window of {self.window} drafts verifies none: choose 1 or more")

    def __call__(self, now: Progress, predictor: Predictor, rng: Rng) -> Progress:
        shape = (self.branches.shape if self.branches else independent(1))(self.window)
        if now.memory is None:
            return self._first(now, shape, predictor, rng)
        (known, drafts), (paths, width) = now.memory, shape.ranks.shape
        tokens = write(now.tokens.repeat_interleave(paths, 0), known.repeat_interleave(paths, 0), drafts.ids)
        rows, sure = side_by_side(predictor, len(known), paths), _sure(predictor)
        p = self._ahead(now._replace(tokens=tokens, steps=_raster(tokens)), known, rows, width, sure)
        winners, agreed, fresh = self._verified(p, drafts, shape, sure, rng)
        tokens = write(tokens[winners], known, fresh.ids)
        following = agreed[:, None] + 1 + torch.arange(width, device=tokens.device)
        fresh = Drafts(*(take(part, following.clamp_max(width)) for part in fresh[:2]))
        known = (known + agreed + 1).clamp_max(tokens.shape[1])
        done = int(known.min())
        if done < tokens.shape[1]:
            settle(rows, winners, paths, done)
            at = Standing(tokens, known, fresh, following <= width, winners, predictor, drafts.state)
            drafts = self.draft(at, shape, rng)
        return Progress(tokens, now.steps, done, Window(known, drafts))

    def _first(self, now: Progress, shape: Shape, predictor: Predictor, rng: Rng) -> Progress:
        """One token without a draft, then the first drafts."""
        discrete(predictor.generator.head)
        (paths, width), batch = shape.ranks.shape, len(now.tokens)
        if not torch.equal(now.steps, _raster(now.tokens)):
            raise InputError("drafts are verified in raster order: choose a model that draws token after token")
        nothing = torch.zeros_like(now.steps[:, :1])
        tokens = now.tokens.repeat_interleave(paths, 0)
        rows = now._replace(tokens=tokens, steps=_raster(tokens))
        p = shares_between(rows, 0, 0, side_by_side(predictor, batch, paths))[::paths]
        tokens = write(now.tokens, nothing[:, 0], pick(p, rng.uniform(batch, 1)))
        missing = nothing.expand(-1, width)
        fresh = Drafts(missing, p.expand(-1, width, -1))
        winners = torch.arange(batch, device=tokens.device) * paths
        at = Standing(tokens, nothing[:, 0] + 1, fresh, missing > 0, winners, predictor)
        return Progress(tokens, now.steps, 1, Window(at.known, self.draft(at, shape, rng)))

    def _ahead(
        self, now: Progress, known: Int[Tensor, "b"], predictor: Predictor, width: int, sure: bool
    ) -> Float[Tensor, "rows more v"]:
        """p of every draft and of one token more, given the drafts before, for each row from where it stands."""
        count, first = now.tokens.shape[1], now.done
        last = min(int(known[known < count].max()) + width, count - 1)
        index = known[:, None] - first + torch.arange(width + 1, device=known.device)
        index = index.clamp_max(last - first).repeat_interleave(len(now.tokens) // len(known), 0)
        return take(shares_between(now, first, last, predictor, soft=sure), index)

    def _verified(
        self, p: Float[Tensor, "rows more v"], drafts: Drafts, shape: Shape, sure: bool, rng: Rng
    ) -> tuple[Int[Tensor, "b"], Int[Tensor, "b"], Drafts]:
        """The row of each image that is accepted, how many of its drafts are, and the ids of that row as `verify` has
        them."""
        paths = len(shape.ranks)
        if paths == 1:
            agreed, fresh = _surely(p, drafts, self.surely) if sure else verify(p, drafts, self.accept, rng)
            return torch.arange(len(p), device=p.device), agreed, fresh
        choose = (self.branches and self.branches.choose) or in_turn(self.accept)
        found = []
        for image in range(len(p) // paths):
            part = slice(image * paths, (image + 1) * paths)
            ids, own = drafts.ids[part], p[part]
            if sure:
                found.append(longest(own, self.surely(own[:, :-1], ids), shape))
            else:
                found.append(follow(own, drafts.shares[part], ids, shape, choose, rng.row(image)))
        return self._of_paths(p, drafts, found, paths, sure, rng)

    @staticmethod
    def _of_paths(
        p: Float[Tensor, "rows more v"], drafts: Drafts, found: list[Followed], paths: int, sure: bool, rng: Rng
    ) -> tuple[Int[Tensor, "b"], Int[Tensor, "b"], Drafts]:
        winners = torch.tensor([image * paths + one.path for image, one in enumerate(found)], device=p.device)
        agreed = torch.tensor([one.agreed for one in found], device=p.device)
        rest = torch.stack([one.rest for one in found])[:, None]
        own = p[winners]
        new = rest.argmax(-1) if sure else pick(rest, rng.uniform(len(found), 1))
        ids = write(functional.pad(drafts.ids[winners], (0, 1)), agreed, new)
        return winners, agreed, Drafts(ids, own)


def _raster(tokens: Int[Tensor, "b n"]) -> Int[Tensor, "b n"]:
    return torch.arange(1, tokens.shape[1] + 1, device=tokens.device).expand(len(tokens), -1)


def _sure(predictor: Predictor) -> bool:
    return all(options.temperature == 0 for options in predictor.options)


def _surely(p: Float[Tensor, "b more v"], drafts: Drafts, surely: Surely) -> tuple[Int[Tensor, "b"], Drafts]:
    """As `verify`, at temperature 0."""
    ahead = torch.arange(p.shape[1], device=p.device)
    agreed = surely(p[:, :-1], drafts.ids).long().cumprod(1).sum(1)
    best = functional.one_hot(p.argmax(-1), p.shape[-1]).to(p.dtype)
    return agreed, Drafts(torch.where(ahead < agreed[:, None], functional.pad(drafts.ids, (0, 1)), p.argmax(-1)), best)


def drafting(decoder: Decoder, draft: Draft, window: int) -> Decoder:
    """The decoder with drafts of another kind; raises `InputError` where something else proposes them already, or where
    its step verifies none."""
    step = speculative(decoder)
    if step.draft is not jacobi:
        raise InputError("two techniques would propose the drafts: leave one of them out")
    return replace(decoder, step=replace(step, draft=draft, window=_smaller(decoder, window)))


def accepting(
    decoder: Decoder,
    window: int,
    *,
    accept: Accept = exact,
    surely: Surely = likeliest,
    branches: Branches | None = None,
) -> Decoder:
    """The decoder with another rule by which drafts stay; the smaller window holds. Errors as those of `drafting`."""
    step = speculative(decoder)
    if step.accept is not exact or step.branches is not None:
        raise InputError("two techniques would decide which drafts stay: leave one of them out")
    changed = replace(step, accept=accept, surely=surely, branches=branches, window=_smaller(decoder, window))
    return replace(decoder, step=changed)


def _smaller(decoder: Decoder, window: int) -> int:
    return min(decoder.step.window, window) if isinstance(decoder.step, Speculative) else window


def speculative(decoder: Decoder) -> Speculative:
    """The decoder's step if that verifies drafts, or one that does; raises `InputError` if it has a step of its own, or
    a head without ids."""
    discrete(decoder.generator.head)
    if decoder.step is by_order:
        return Speculative()
    if not isinstance(decoder.step, Speculative):
        raise InputError("drafts are verified in raster order: choose a model that draws token after token")
    return decoder.step
