"""What proposes drafts: the generator's own earlier draws, or a smaller generator.

jacobi        x_i ~ p_i of the last pass, made behind drafts that may have been refused        no cost
Drafter       x_i ~ q_i(. | known, x_1 .. x_i-1), q another generator of the same tokens       window small passes
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, NamedTuple, TypeAlias

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from limner.decode.paths import Shape, draw
from limner.decode.step import Predictor, Progress
from limner.generators.generator import Generator
from limner.generators.heads.categorical import Shares
from limner.generators.heads.head import SamplingOptions, discrete
from limner.nn.transformer import take
from limner.types import Rng


class Drafts(NamedTuple):
    """Ids proposed for the positions that follow what a row knows, a row per path; the probabilities by which they were
    drawn; what the draft remembers for the next time."""

    ids: Int[Tensor, "rows m"]
    shares: Shares
    state: Any = None


class Standing(NamedTuple):
    """What a draft may go by: each image's ``tokens``, of which the first ``known`` are; ``fresh`` draws of the last
    pass for the positions that follow, where there are some (``drawn``); what the draft itself remembered (``state``),
    and whose rows, of all paths, were accepted (``winners``); and the ``predictor`` that will verify."""

    tokens: Int[Tensor, "b n"]
    known: Int[Tensor, "b"]
    fresh: Drafts
    drawn: Bool[Tensor, "b m"]
    winners: Int[Tensor, "b"]
    predictor: Predictor
    state: Any = None


Draft: TypeAlias = Callable[[Standing, Shape, Rng], Drafts]
"""``draft(standing, shape, rng) -> drafts`` of the positions that follow, image by image, on paths of the shape."""


def jacobi(at: Standing, shape: Shape, rng: Rng) -> Drafts:
    """The generator's own draws of the last pass; an even draw, with all its probability on itself, where there is none
    (Teng et al., speculative Jacobi decoding, arXiv:2410.01699). On several paths, which are not drawn yet: draws of
    the last pass's p, or even ones."""
    shares, drawn = at.fresh.shares, at.drawn[..., None]
    entries = shares.shape[-1]
    if len(shape.ranks) > 1:
        q = torch.where(drawn, shares, torch.full_like(shares, 1 / entries)).repeat_interleave(len(shape.ranks), 0)
        return Drafts(torch.stack([_level(q[:, level], shape, level, rng) for level in range(q.shape[1])], dim=1), q)
    even = (rng.uniform(*at.fresh.ids.shape) * entries).long().clamp_max(entries - 1)
    certain = functional.one_hot(even, entries).to(shares.dtype)
    return Drafts(torch.where(at.drawn, at.fresh.ids, even), torch.where(drawn, shares, certain))


@dataclass(frozen=True)
class Drafter:
    """Drafts of another generator of the same tokens and conditions, drawn with the options of the one it drafts for.

    Args:
        generator: the small one, in raster order.
        cached: keep its keys and values.
    """

    generator: Generator
    cached: bool = True

    def __call__(self, at: Standing, shape: Shape, rng: Rng) -> Drafts:
        paths, (batch, count) = len(shape.ranks), at.tokens.shape
        own, done = at.state, int(at.known.min())
        if own is None:
            made = Predictor.of(self.generator, at.predictor.options, at.predictor.given, cached=self.cached)
            own = side_by_side(made, batch, paths)
        else:
            settle(own, at.winners, paths, done)
        steps = torch.arange(1, count + 1, device=at.tokens.device).expand(batch * paths, -1)
        tokens, known = (part.repeat_interleave(paths, 0) for part in (at.tokens, at.known))
        ids, shares = [], []
        for level in range(shape.ranks.shape[1]):
            place = (known + level).clamp_max(count - 1)
            first = int(place.min())
            q = shares_between(Progress(tokens, steps, first), first, int(place.max()), own)
            shares.append(take(q, place[:, None] - first)[:, 0])
            ids.append(_level(shares[-1], shape, level, rng))
            tokens = write(tokens, known + level, ids[-1][:, None])
        return Drafts(torch.stack(ids, dim=1), torch.stack(shares, dim=1), own)


def _level(q: Float[Tensor, "rows v"], shape: Shape, level: int, rng: Rng) -> Int[Tensor, "rows"]:
    paths = len(shape.ranks)
    return draw(q.unflatten(0, (-1, paths)), shape.draws[:, level], shape.ranks[:, level], rng).flatten()


def side_by_side(predictor: Predictor, batch: int, paths: int) -> Predictor:
    """A predictor of ``paths`` rows per image."""
    if paths == 1:
        return predictor
    rows = torch.arange(len(predictor.condition.prefix), device=predictor.condition.prefix.device)
    return replace(predictor, condition=predictor.condition.select(rows.repeat_interleave(paths)))


def settle(predictor: Predictor, winners: Int[Tensor, "b"], paths: int, done: int) -> None:
    """Let its cache hold, for each image, what the accepted path read, as far as all images know it."""
    if predictor.cache is None:
        return
    predictor.cache.keep(predictor.cache.lead + done - 1)  # the newest token was read as a draft, if at all
    if paths > 1:
        rows = winners.repeat_interleave(paths)
        copies = len(predictor.condition.prefix) // len(rows)
        predictor.cache.select(torch.cat([rows + half * len(rows) for half in range(copies)]))


def shares_between(now: Progress, first: int, last: int, predictor: Predictor, *, soft: bool = False) -> Shares:
    """p at the positions from ``first`` to ``last``, each with the options of its own step, by one pass; ``soft``: at
    temperature 1 and uncut in their place."""
    head = discrete(predictor.generator.head)
    span = torch.arange(first, last + 1, device=now.tokens.device).expand(len(now.tokens), -1)
    contexts, guided = predictor.contexts(now, span, last + 1)
    parts: list[Shares] = []
    for options, alike in groupby(predictor.options[first : last + 1]):
        end = (at := sum(part.shape[1] for part in parts)) + len(list(alike))
        chosen = SamplingOptions(guidance=options.guidance) if soft else options
        parts.append(head.distribution(contexts[:, at:end], guided, chosen))
    return torch.cat(parts, dim=1)


def write(tokens: Int[Tensor, "b n"], known: Int[Tensor, "b"], ids: Int[Tensor, "b m"]) -> Int[Tensor, "b n"]:
    """``tokens`` with ``ids`` behind those that each row knows; what would lie beyond the last is left out."""
    place = torch.arange(tokens.shape[1], device=tokens.device) - known[:, None]
    inside = (place >= 0) & (place < ids.shape[1])
    return torch.where(inside, ids.gather(1, place.clamp(0, ids.shape[1] - 1)), tokens)
