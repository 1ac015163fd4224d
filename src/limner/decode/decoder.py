"""The sampling loop, the only one: step by step, ask the backbone what is known of the next tokens and draw them.

It knows no order, backbone, head or condition by name. Guidance runs as one batch of twice the size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from limner.decode.schedules import Moment, Schedule, constant, with_known
from limner.errors import InputError
from limner.generators.generator import Generator
from limner.generators.heads.head import Policy
from limner.nn.transformer import put
from limner.types import Rng, Steps, Tokens

Watch = Callable[[int, int, Tokens, Steps], None]


@dataclass(frozen=True)
class Decoder:
    """How a generator draws.

    Args:
        generator: what draws.
        policy: how each token is drawn; its guidance and temperature are those that the schedules start from.
        passes: steps of the order; None leaves it to the order.
        guidance, temperature: how the policy's change from step to step.
        cached: reuse keys and values where the backbone can; exact.
    """

    generator: Generator
    policy: Policy = field(default_factory=Policy)
    passes: int | None = None
    guidance: Schedule = with_known
    temperature: Schedule = constant
    cached: bool = True

    @torch.no_grad()
    def __call__(self, given: Tensor, rng: Rng, *, watch: Watch | None = None, steps: Steps | None = None) -> Tokens:
        """Draw one picture's tokens per row of ``given``.

        Args:
            given: what the condition reads, one row per picture.
            rng: with one seed per row, a batch equals its rows drawn alone.
            watch: called after each step with its number, the number of steps, the tokens so far and their steps.
            steps: a plan other than the order's own.
        """
        if self.policy.guidance < 0:
            raise InputError(f"guidance is {self.policy.guidance}, but must not be negative: 1 is none")
        generator, batch = self.generator, len(given)
        if steps is None:
            steps = generator.order.plan(batch, generator.count, self.passes, rng)
        policies = [self._policy(moment) for moment in moments(steps)]
        guided = any(policy.guidance != 1.0 for policy in policies)
        copies = 2 if guided else 1
        dropped = torch.arange(copies, device=given.device).repeat_interleave(batch) == 1
        prefix = generator.condition(torch.cat([given] * copies), dropped)
        cache = generator.backbone.cache() if self.cached else None
        tokens = generator.head.blank(batch, generator.count).to(given.device)
        for step, policy in enumerate(policies, 1):
            here = guided and (policy.guidance != 1.0 or cache is not None)  # a cache must see every step of its rows
            rows = slice(None) if here else slice(batch)
            copies = 2 if here else 1
            wanted = (steps == step).long().argsort(dim=1, descending=True, stable=True)
            wanted = wanted[:, : int((steps[0] == step).sum())]
            contexts = generator.contexts(
                torch.cat([tokens] * copies),
                torch.cat([steps.clamp_max(step)] * copies),
                prefix[rows],
                torch.cat([wanted] * copies),
                cache,
            )
            tokens = put(tokens, wanted, generator.head.sample(contexts, here, policy, rng))
            if watch is not None:
                watch(step, len(policies), tokens, steps)
        return tokens

    def _policy(self, moment: Moment) -> Policy:
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
