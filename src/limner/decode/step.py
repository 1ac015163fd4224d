"""One step of the sampling loop, as a function of what is known: which tokens are predicted next, and which stay.

    by_order          all tokens of the next step of the order, drawn at once
    most_confident    every unknown token is proposed; the surest stay, as many as the order plans (MaskGIT)
    until(stop)       rows end with an id, as texts do

A step is given to a `limner.decode.decoder.Decoder`, which knows none of them by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from limner.generators.conditions import Conditioning, ConditionInput
from limner.generators.generator import Generator
from limner.generators.heads.categorical import cut, gumbel
from limner.generators.heads.head import SamplingOptions, discrete
from limner.nn.transformer import put, take
from limner.types import Rng, Steps, Tokens


class Progress(NamedTuple):
    """A drawing so far: ``tokens``, of which those of a step above ``done`` are not known and not read, the ``steps``
    in which each is predicted, and what a step remembers for the next one."""

    tokens: Tokens
    steps: Steps
    done: int = 0
    memory: Any = None


@dataclass(frozen=True)
class Predictor:
    """A generator with all that one drawing holds fixed.

    Args:
        generator: predicts.
        options: of every step of the order.
        condition: of each row; where a step is guided, a second half of the rows has none.
        cache: keys and values of what is known, or None.
        given: what ``condition`` was made of, one row per picture, for another model that draws along.
    """

    generator: Generator
    options: list[SamplingOptions]
    condition: Conditioning
    cache: Any
    given: ConditionInput

    @classmethod
    def of(
        cls, generator: Generator, options: list[SamplingOptions], given: ConditionInput, *, cached: bool = True
    ) -> Predictor:
        """A generator about to draw; where a step is guided, a second half of the rows has no condition."""
        guided = any(one.guidance != 1.0 for one in options)
        rows = torch.arange(len(given) * (2 if guided else 1), device=given.device)
        condition = generator.condition(given[rows % len(given)], rows >= len(given))
        return cls(generator, options, condition, generator.backbone.cache() if cached else None, given)

    def contexts(self, now: Progress, targets: Int[Tensor, "b m"], last: int | None = None) -> tuple[Any, bool]:
        """Contexts of the tokens at ``targets``, which are of the next step, or of the next up to ``last``: each sees
        the tokens of earlier steps. Then, whether a second half of the rows is without condition."""
        last = last or now.done + 1
        # A cache misses no step of its rows: those without condition go on until no later step wants them.
        ahead = self.options[now.done : None if self.cache is not None else last]
        guided = any(options.guidance != 1.0 for options in ahead)
        copies = 2 if guided else 1
        tokens, steps, where = (torch.cat([part] * copies) for part in (now.tokens, now.steps.clamp_max(last), targets))
        condition = self.condition.rows(copies * len(now.tokens))
        return self.generator.contexts(tokens, steps, condition, where, self.cache), guided


@runtime_checkable
class Step(Protocol):
    """One turn of the loop: predicts, draws, and says what is known then, ``done`` having grown by one at least.

    A row may depend on itself and its own draws alone, so that a batch is its rows one by one."""

    def __call__(self, now: Progress, predictor: Predictor, rng: Rng) -> Progress: ...


def by_order(now: Progress, predictor: Predictor, rng: Rng) -> Progress:
    """The tokens of the next step, each drawn by itself."""
    step = now.done + 1
    targets = positions(now.steps == step)
    contexts, guided = predictor.contexts(now, targets)
    drawn = predictor.generator.head.sample(contexts, guided, predictor.options[now.done], rng)
    return Progress(put(now.tokens, targets, drawn), now.steps, step)


def most_confident(now: Progress, predictor: Predictor, rng: Rng) -> Progress:
    """Of proposals for all unknown tokens the surest, as many as the next step has (Chang et al., arXiv:2202.04200,
    Section 3.2). It needs a backbone that predicts any number of tokens in one step; raises `InputError` for a head
    without probabilities."""
    step, head = now.done + 1, discrete(predictor.generator.head)
    unknown = positions(now.steps >= step)
    contexts, guided = predictor.contexts(now, unknown)
    options = predictor.options[now.done]
    ids, confidence = proposals(head.guided_logits(contexts, guided, options), options, rng)
    steps, targets, drawn = surest(now.steps, step, unknown, ids, confidence)
    return Progress(put(now.tokens, targets, drawn), steps, step)


def until(stop: int, step: Step = by_order) -> Step:
    """``step``, but a row in which ``stop`` is drawn is filled with it, and the drawing ends when all rows have it."""

    def ending(now: Progress, predictor: Predictor, rng: Rng) -> Progress:
        after = step(now, predictor, rng)
        known = after.steps <= after.done
        ended = ((after.tokens == stop) & known).any(1)
        first = torch.where((after.tokens == stop) & known, after.steps, after.steps.shape[1] + 1).amin(1)
        tokens = after.tokens.masked_fill(after.steps > first[:, None], stop)
        return after._replace(tokens=tokens, done=len(predictor.options) if ended.all() else after.done)

    return ending


def proposals(
    logits: Float[Tensor, "b m v"], options: SamplingOptions, rng: Rng
) -> tuple[Int[Tensor, "b m"], Float[Tensor, "b m"]]:
    """Ids and the confidence in each, with Gumbel noise g, g' and temperature T:

    ``id = argmax_v (logit_v / T + g_v)``, which draws from softmax(logit / T), and ``logit_id + T g'``.
    """
    of_ids, of_tokens = rng.uniform(*logits.shape), rng.uniform(*logits.shape[:2])
    if options.temperature == 0:
        sure, ids = logits.max(-1)
        return ids, sure
    ids = (cut(logits / options.temperature, options) + gumbel(of_ids)).argmax(-1)
    return ids, logits.gather(-1, ids[..., None])[..., 0] + options.temperature * gumbel(of_tokens)


def surest(
    steps: Steps,
    step: int,
    unknown: Int[Tensor, "b m"],
    proposed: Shaped[Tensor, "b m *c"],
    confidence: Float[Tensor, "b m"],
) -> tuple[Steps, Int[Tensor, "b k"], Shaped[Tensor, "b k *c"]]:
    """The steps of the unknown tokens in a new order, the surest first; position and token of those of ``step``."""
    order = confidence.argsort(dim=1, descending=True, stable=True)
    steps = put(steps, take(unknown, order), take(steps, unknown).sort(dim=1).values)
    kept = order[:, : int((steps[0] == step).sum())]
    return steps, take(unknown, kept), take(proposed, kept)


def positions(chosen: Bool[Tensor, "b n"]) -> Int[Tensor, "b m"]:
    """Positions of the chosen tokens, equally many in every row, in raster order."""
    return chosen.long().argsort(dim=1, descending=True, stable=True)[:, : int(chosen[0].sum())]
