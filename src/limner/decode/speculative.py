"""Speculative decoding: a window of drafts is verified in one pass, and what is accepted has the generator's law.

    x_i ~ q_i          accepted with probability min(1, p_i(x_i) / q_i(x_i)), from left to right up to the first refusal
    refused            x_i ~ (p_i - q_i)+ / sum (p_i - q_i)+
    all accepted       one token more, of the last p

so that every token is distributed as p (Leviathan et al., arXiv:2211.17192, Section 2.3 and Appendix A.1), whatever q
is. A step knows one token more at least and ``window + 1`` at most. Rows accept different numbers and go on at their
own pace: the window of a pass covers those of all rows, and the cache keeps what holds for every row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple, TypeAlias

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from limner.decode.step import Predictor, Progress
from limner.errors import InputError
from limner.generators.heads.head import discrete
from limner.nn.transformer import take
from limner.types import Rng

Shares: TypeAlias = Float[Tensor, "b m v"]  # probabilities of all ids at m positions of each row


class Drafts(NamedTuple):
    """Ids proposed for the positions that follow what a row knows, and the probabilities by which they were drawn."""

    ids: Int[Tensor, "b m"]
    shares: Shares


class Window(NamedTuple):
    """What a step remembers: how many tokens each row knows, and the drafts behind them."""

    known: Int[Tensor, "b"]
    drafts: Drafts


Accept: TypeAlias = Callable[[Shares, Shares, Int[Tensor, "b m"], Rng], tuple[Bool[Tensor, "b m"], Shares]]
"""``accept(p, q, drafted, rng) -> (accepted, residual)``: which drafts stay if all before them do, and what the first
that does not is drawn from."""

Draft: TypeAlias = Callable[[Drafts, Bool[Tensor, "b m"], Rng], Drafts]
"""``draft(fresh, drawn, rng) -> drafts``: of the positions that follow, from draws of the last pass where there are
some (``drawn``)."""


def exact(p: Shares, q: Shares, drafted: Int[Tensor, "b m"], rng: Rng) -> tuple[Bool[Tensor, "b m"], Shares]:
    """The rule above: a draft x stays if ``u q(x) < p(x)``, u uniform in [0, 1)."""
    own_p, own_q = (share.gather(-1, drafted[..., None])[..., 0] for share in (p, q))
    return rng.uniform(*drafted.shape) * own_q < own_p, residual(p, q)


def residual(p: Shares, q: Shares) -> Shares:
    """``(p - q)+`` over its sum; p itself where the two are equal, and nothing is refused."""
    rest = (p - q).clamp_min(0.0)
    total = rest.sum(-1, keepdim=True)
    return torch.where(total > 0, rest / total, p)


def jacobi(fresh: Drafts, drawn: Bool[Tensor, "b m"], rng: Rng) -> Drafts:
    """The generator's own draws of the last pass, made behind drafts that may have been refused; an even draw, with all
    its probability on itself, where there is none (Teng et al., speculative Jacobi decoding, arXiv:2410.01699)."""
    entries = fresh.shares.shape[-1]
    even = (rng.uniform(*fresh.ids.shape) * entries).long().clamp_max(entries - 1)
    certain = functional.one_hot(even, entries).to(fresh.shares.dtype)
    return Drafts(torch.where(drawn, fresh.ids, even), torch.where(drawn[..., None], fresh.shares, certain))


@dataclass(frozen=True)
class Speculative:
    """A step of raster order for a head of ids.

    Args:
        draft: proposes.
        accept: decides.
        window: drafts that are verified in one pass.
    """

    draft: Draft = jacobi
    accept: Accept = exact
    window: int = 16

    def __post_init__(self) -> None:
        if self.window < 1:
            raise InputError(f"a window of {self.window} drafts verifies none: choose 1 or more")

    def __call__(self, now: Progress, predictor: Predictor, rng: Rng) -> Progress:
        if now.memory is None:
            return self._first(now, predictor, rng)
        known, drafts = now.memory
        tokens = write(now.tokens, known, drafts.ids)
        p = self._ahead(now._replace(tokens=tokens), known, predictor)
        agreed, fresh = verify(p, drafts, self.accept, rng)
        tokens = write(tokens, known, fresh.ids)
        following = agreed[:, None] + 1 + torch.arange(self.window, device=tokens.device)
        index, count = following.clamp_max(self.window), tokens.shape[1]
        drafts = self.draft(Drafts(take(fresh.ids, index), take(fresh.shares, index)), following <= self.window, rng)
        known = (known + agreed + 1).clamp_max(count)
        done = int(known.min())
        if predictor.cache is not None and done < count:
            predictor.cache.keep(predictor.cache.lead + done - 1)  # the newest token was read as a draft, if at all
        return Progress(tokens, now.steps, done, Window(known, drafts))

    def _first(self, now: Progress, predictor: Predictor, rng: Rng) -> Progress:
        """One token without a draft, then the first drafts."""
        discrete(predictor.generator.head)
        batch, count = now.tokens.shape
        if not torch.equal(now.steps, torch.arange(1, count + 1, device=now.steps.device).expand(batch, -1)):
            raise InputError("drafts are verified in raster order: choose a model that draws token after token")
        nothing = torch.zeros_like(now.steps[:, :1])
        p = self._shares(now, 0, 0, predictor)
        tokens = write(now.tokens, nothing[:, 0], pick(p, rng.uniform(batch, 1)))
        missing = nothing.expand(-1, self.window)
        drafts = self.draft(Drafts(missing, p.expand(-1, self.window, -1)), missing > 0, rng)
        return Progress(tokens, now.steps, 1, Window(nothing[:, 0] + 1, drafts))

    def _ahead(self, now: Progress, known: Int[Tensor, "b"], predictor: Predictor) -> Float[Tensor, "b more v"]:
        """p of every draft and of one token more, given the drafts before, for each row from where it stands."""
        count, first = now.tokens.shape[1], now.done
        last = min(int(known[known < count].max()) + self.window, count - 1)
        index = known[:, None] - first + torch.arange(self.window + 1, device=known.device)
        return take(self._shares(now, first, last, predictor), index.clamp_max(last - first))

    def _shares(self, now: Progress, first: int, last: int, predictor: Predictor) -> Shares:
        """p at the positions from ``first`` to ``last``, each with the options of its own step, by one pass."""
        head, batch = discrete(predictor.generator.head), len(now.tokens)
        span = torch.arange(first, last + 1, device=now.tokens.device).expand(batch, -1)
        contexts, guided = predictor.contexts(now, span, last + 1)
        parts: list[Shares] = []
        for options, alike in groupby(predictor.options[first : last + 1]):
            end = (at := sum(part.shape[1] for part in parts)) + len(list(alike))
            parts.append(head.distribution(contexts[:, at:end], guided, options))
        return torch.cat(parts, dim=1)


def verify(p: Float[Tensor, "b more v"], drafts: Drafts, accept: Accept, rng: Rng) -> tuple[Int[Tensor, "b"], Drafts]:
    """How many drafts of each row stay; then those, what takes the place of the next, and draws of p behind it."""
    count = drafts.ids.shape[1]
    accepted, rest = accept(p[:, :-1], drafts.shares, drafts.ids, rng)
    agreed = accepted.long().cumprod(1).sum(1)
    ahead = torch.arange(count + 1, device=p.device)
    refused = (ahead == agreed[:, None]) & (ahead < count)
    fresh = pick(torch.where(refused[..., None], functional.pad(rest, (0, 0, 0, 1)), p), rng.uniform(*p.shape[:2]))
    return agreed, Drafts(torch.where(ahead < agreed[:, None], functional.pad(drafts.ids, (0, 1)), fresh), p)


def write(tokens: Int[Tensor, "b n"], known: Int[Tensor, "b"], ids: Int[Tensor, "b m"]) -> Int[Tensor, "b n"]:
    """``tokens`` with ``ids`` behind those that each row knows; what would lie beyond the last is left out."""
    place = torch.arange(tokens.shape[1], device=tokens.device) - known[:, None]
    inside = (place >= 0) & (place < ids.shape[1])
    return torch.where(inside, ids.gather(1, place.clamp(0, ids.shape[1] - 1)), tokens)


def pick(shares: Shares, uniform: Float[Tensor, "b m"]) -> Int[Tensor, "b m"]:
    """An id of each distribution, by inverting its distribution function over ids."""
    edges = shares.cumsum(-1)
    total = edges[..., -1:]
    place = torch.searchsorted(edges, uniform[..., None] * total, right=True)
    return place.minimum((edges < total).sum(-1, keepdim=True))[..., 0]
