"""The sampling loop, the only one: step by step, ask the backbone what is known of the next tokens and draw them.

It knows no order, backbone, head or condition by name. Guidance runs as one batch of twice the size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor

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
        policy: how each token is drawn; its guidance is the strongest used.
        passes: steps of the order; None leaves it to the order.
        ramp: "linear" raises guidance with the share of tokens that will be known after the step, as MAR and Muse do
            (``1 + (g - 1) * known / count``); "constant" keeps it.
        cached: reuse keys and values where the backbone can; exact.
    """

    generator: Generator
    policy: Policy = field(default_factory=Policy)
    passes: int | None = None
    ramp: Literal["linear", "constant"] = "linear"
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
        guided = self.policy.guidance != 1.0
        if steps is None:
            steps = generator.order.plan(batch, generator.count, self.passes, rng)
        copies = 2 if guided else 1
        dropped = torch.arange(copies, device=given.device).repeat_interleave(batch) == 1
        prefix = generator.condition(torch.cat([given] * copies), dropped)
        cache = generator.backbone.cache() if self.cached else None
        tokens = generator.head.blank(batch, generator.count).to(given.device)
        total = int(steps.max())
        for step in range(1, total + 1):
            wanted = (steps == step).long().argsort(dim=1, descending=True, stable=True)
            wanted = wanted[:, : int((steps[0] == step).sum())]
            known = torch.cat([steps.clamp_max(step)] * copies)
            contexts = generator.contexts(
                torch.cat([tokens] * copies), known, prefix, torch.cat([wanted] * copies), cache
            )
            policy = self._policy(float((steps[0] <= step).sum()), step == total)
            drawn = generator.head.sample(contexts[:batch], contexts[batch:] if guided else None, policy, rng)
            tokens = put(tokens, wanted, drawn)
            if watch is not None:
                watch(step, total, tokens, steps)
        return tokens

    def _policy(self, known: float, last: bool) -> Policy:
        if self.ramp == "constant" or self.policy.guidance == 1.0:
            return self.policy
        count = self.generator.count
        share = (min(known, count - 1) if last else known) / count  # the official loop counts one token as never known
        return replace(self.policy, guidance=1.0 + (self.policy.guidance - 1.0) * share)
