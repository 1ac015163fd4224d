"""The sampling loop, the only one: step by step, ask the backbone what is known of the next tokens and draw them.

It knows no order, backbone, head or condition by name. Guidance runs as one batch of twice the size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from limner.decode.schedules import Moment, Schedule, constant, with_known
from limner.errors import InputError
from limner.generators.generator import Generator
from limner.generators.heads.head import SamplingOptions, check_steps, ranking
from limner.nn.transformer import put, take
from limner.types import Rng, Steps, Tokens

Watch = Callable[[int, int, Tokens, Steps], None]


class Kept(NamedTuple):
    """Tokens that are not to be drawn, and where; what is elsewhere in ``tokens`` is not read."""

    tokens: Tokens
    where: Bool[Tensor, "b n"]

    def restore(self, tokens: Tokens) -> Tokens:
        """``tokens`` with these in their places."""
        where = self.where.reshape(self.where.shape + (1,) * (tokens.ndim - 2))
        return torch.where(where, self.tokens.to(tokens.dtype), tokens)


@dataclass(frozen=True)
class Decoder:
    """How a generator draws.

    Args:
        generator: what draws.
        policy: how each token is drawn; its guidance and temperature are those that the schedules start from.
        passes: steps of the order; None leaves it to the order.
        guidance, temperature: how the policy's change from step to step.
        cached: reuse keys and values where the backbone can; exact.
        ranked: let each step propose all tokens that are not yet known and keep those of which the head is surest, as
            many as planned (Chang et al., arXiv:2202.04200, Section 3.2). It wants a head with confidence, and a
            backbone that predicts any number of tokens in one step.
    """

    generator: Generator
    policy: SamplingOptions = field(default_factory=SamplingOptions)
    passes: int | None = None
    guidance: Schedule = with_known
    temperature: Schedule = constant
    cached: bool = True
    ranked: bool = False

    def __post_init__(self) -> None:
        if self.policy.guidance < 0:
            raise InputError(f"guidance is {self.policy.guidance}, but must not be negative: 1 is none")
        if self.policy.head_steps is not None or self.policy.solver is not None:
            check_steps(self.generator.head, self.policy)

    @torch.no_grad()
    def __call__(
        self,
        given: Tensor,
        rng: Rng,
        *,
        watch: Watch | None = None,
        steps: Steps | None = None,
        kept: Kept | None = None,
    ) -> Tokens:
        """Draw one picture's tokens per row of ``given``.

        Args:
            given: what the condition reads, one row per picture.
            rng: with one seed per row, a batch equals its rows drawn alone.
            watch: called after each step with its number, the number of steps, the tokens so far and their steps.
            steps: a plan other than the order's own.
            kept: tokens of the picture that stay; those that share a step with others are drawn and put back.
        """
        generator, head, batch = self.generator, self.generator.head, len(given)
        if steps is None:
            steps = generator.order.plan(batch, generator.count, self.passes, rng)
        policies = [self._policy(moment) for moment in moments(steps)]
        guided = [policy.guidance != 1.0 for policy in policies]
        prefix = self._prefix(given, any(guided))
        cache = generator.backbone.cache() if self.cached else None
        propose = ranking(head).propose if self.ranked else None
        tokens = head.blank(batch, generator.count).to(given.device)
        tokens = tokens if kept is None else kept.restore(tokens)
        for step, policy in enumerate(policies, 1):
            here = guided[step - 1] or (cache is not None and any(guided[step:]))  # a cache misses no step of its rows
            copies = 2 if here else 1
            known, wanted = steps.clamp_max(step), places(steps == step if propose is None else steps >= step)
            told, when, where = (torch.cat([part] * copies) for part in (tokens, known, wanted))
            contexts = generator.contexts(told, when, prefix[: copies * batch], where, cache)
            if propose is None:
                drawn = head.sample(contexts, here, policy, rng)
            else:
                steps, wanted, drawn = surest(steps, step, wanted, *propose(contexts, here, policy, rng))
            tokens = put(tokens, wanted, drawn)
            tokens = tokens if kept is None else kept.restore(tokens)
            if watch is not None:
                watch(step, len(policies), tokens, steps)
        return tokens

    def _prefix(self, given: Tensor, guided: bool) -> Float[Tensor, "rows k d"]:
        """What the backbone is told of ``given``; if guided, of nothing in a second half of the rows."""
        copies = 2 if guided else 1
        dropped = torch.arange(copies, device=given.device).repeat_interleave(len(given)) == 1
        return self.generator.condition(torch.cat([given] * copies), dropped)

    def _policy(self, moment: Moment) -> SamplingOptions:
        return replace(
            self.policy,
            guidance=self.guidance(self.policy.guidance, moment),
            temperature=self.temperature(self.policy.temperature, moment),
        )


def moments(steps: Steps) -> list[Moment]:
    """The moments of a plan, whose rows draw equally many tokens in each step."""
    counts = torch.bincount(steps[0].cpu())
    after, total = counts.cumsum(0).tolist(), len(counts) - 1
    return [Moment(step, total, after[step - 1], after[step], steps.shape[1]) for step in range(1, total + 1)]


def places(chosen: Bool[Tensor, "b n"]) -> Int[Tensor, "b m"]:
    """Positions of the chosen tokens, equally many in every row, in raster order."""
    return chosen.long().argsort(dim=1, descending=True, stable=True)[:, : int(chosen[0].sum())]


def surest(
    steps: Steps,
    step: int,
    unknown: Int[Tensor, "b m"],
    proposed: Shaped[Tensor, "b m *c"],
    confidence: Float[Tensor, "b m"],
) -> tuple[Steps, Int[Tensor, "b k"], Shaped[Tensor, "b k *c"]]:
    """The steps of the unknown tokens handed out anew, the surest first; then place and token of those of this step."""
    order = confidence.argsort(dim=1, descending=True, stable=True)
    steps = put(steps, take(unknown, order), take(steps, unknown).sort(dim=1).values)
    kept = order[:, : int((steps[0] == step).sum())]
    return steps, take(unknown, kept), take(proposed, kept)
