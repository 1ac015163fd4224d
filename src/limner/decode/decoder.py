"""The sampling loop, the only one: step by step, predict the next tokens from what is known, and draw them.

    while a token is unknown:   now = step(now, predictor, rng)

It knows no order, backbone, head, condition or step by name. Guidance runs as one batch of twice the size.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeAlias

import torch
from jaxtyping import Bool
from torch import Tensor

from limner.decode.schedules import Moment, Schedule, constant, with_known
from limner.decode.step import Predictor, Progress, Step, by_order
from limner.errors import InputError
from limner.generators.conditions import ConditionInput
from limner.generators.generator import Generator
from limner.generators.heads.head import SamplingOptions, check_steps
from limner.nn.blocks import LayerHook, Stack, hooked
from limner.types import Rng, Steps, Tokens

Watch: TypeAlias = Callable[[int, int, Tokens, Steps], None]


class KnownTokens(NamedTuple):
    """Tokens that are not to be drawn, and where; what is elsewhere in ``tokens`` is not read."""

    tokens: Tokens
    where: Bool[Tensor, "b n"]

    def restore(self, tokens: Tokens) -> Tokens:
        """``tokens`` with these at their positions."""
        where = self.where.reshape(self.where.shape + (1,) * (tokens.ndim - 2))
        return torch.where(where, self.tokens.to(tokens.dtype), tokens)


@dataclass(frozen=True)
class Decoder:
    """How a generator draws.

    Args:
        generator: what draws.
        options: how each token is drawn; their guidance and temperature are those that the schedules start from.
        steps: of the order; None leaves their number to it.
        guidance, temperature: how those of the options change from step to step.
        cached: reuse keys and values where the backbone can; exact.
        step: one turn of the loop, see `limner.decode.step`.
        hooks: run before every layer of the generator's blocks in this order, see `limner.nn.blocks.Stack`.
    """

    generator: Generator
    options: SamplingOptions = field(default_factory=SamplingOptions)
    steps: int | None = None
    guidance: Schedule = with_known
    temperature: Schedule = constant
    cached: bool = True
    step: Step = by_order
    hooks: tuple[LayerHook, ...] = ()

    def __post_init__(self) -> None:
        if self.options.head_steps is not None or self.options.solver is not None:
            check_steps(self.generator.head, self.options)
        if self.hooks:
            blocks_of(self.generator)

    @torch.no_grad()
    def __call__(
        self,
        condition: ConditionInput,
        rng: Rng,
        *,
        watch: Watch | None = None,
        plan: Steps | None = None,
        kept: KnownTokens | None = None,
    ) -> Tokens:
        """Draw one picture's tokens per row of ``condition``.

        Args:
            condition: what the generator's condition reads, one row per picture.
            rng: with one seed per row, a batch equals its rows drawn alone.
            watch: called after each step with its number, the number of steps, the tokens so far and their steps.
            plan: steps other than the order's own.
            kept: tokens of the picture that stay; those that share a step with others are drawn and put back.
        """
        generator, batch = self.generator, len(condition)
        if plan is None:
            plan = generator.order.decoding_steps(batch, generator.layout, self.steps, rng)
        options = [self._options(moment) for moment in moments(plan)]
        predictor = Predictor.of(generator, options, condition, cached=self.cached)
        now = Progress(generator.head.blank(batch, generator.count).to(condition.device), plan)
        now = now if kept is None else now._replace(tokens=kept.restore(now.tokens))
        while now.done < len(options):
            with ExitStack() as bound:
                for hook in self.hooks:
                    bound.enter_context(hooked(blocks_of(generator), hook))
                now = self.step(now, predictor, rng)
            now = now if kept is None else now._replace(tokens=kept.restore(now.tokens))
            if watch is not None:
                watch(now.done, len(options), now.tokens, now.steps)
        return now.tokens

    def _options(self, moment: Moment) -> SamplingOptions:
        return replace(
            self.options,
            guidance=self.guidance(self.options.guidance, moment),
            temperature=self.temperature(self.options.temperature, moment),
        )


Accelerator: TypeAlias = Callable[[Decoder], Decoder]  # the same generator, drawing in fewer or cheaper steps


def blocks_of(generator: Generator) -> Stack:
    """The one stack of blocks that the generator's backbone is; raises `InputError` if it is none."""
    blocks = getattr(generator.backbone, "blocks", None)
    if not isinstance(blocks, Stack):
        raise InputError(
            f"a {type(generator.backbone).__name__} is no single stack of blocks: choose a model such as "
            "raster-emoji-64 or var-emoji-64"
        )
    return blocks


def moments(plan: Steps) -> list[Moment]:
    """The moments of a plan, whose rows draw equally many tokens in each step."""
    counts = torch.bincount(plan[0].cpu())
    after, total = counts.cumsum(0).tolist(), len(counts) - 1
    return [Moment(step, total, after[step - 1], after[step], plan.shape[1]) for step in range(1, total + 1)]
