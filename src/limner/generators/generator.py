"""A generator: order, backbone, head and condition, and the one loss that trains them all.

    p(x) = prod_s p(tokens of step s | tokens of earlier steps, condition)

Any backbone that keeps the law of steps and any head make a generator; this file knows none of them by name.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from limner.generators.backbones.backbone import Backbone
from limner.generators.conditions import Condition, Conditioning, ConditionInput
from limner.generators.heads.head import Head
from limner.generators.orders import Order
from limner.nn.cache import Rewindable
from limner.nn.transformer import take
from limner.nn.whole_batch import Coupling, over_batch
from limner.types import Layout, Rng, Steps, Tokens


class Generator(nn.Module):
    """The composition.

    Args:
        layout: where the tokens of a picture lie.
        order: when each token is predicted.
        backbone: turns what is known into contexts.
        head: turns contexts into tokens, and embeds tokens for the backbone.
        condition: turns a class or a caption into a `Conditioning`.
        embed: tokens to what the backbone reads, where that is not the head's business: it may tell a token of others,
            but of none of its own step or later.
        drop: share of training pictures whose condition is withheld, for guidance.
        corrupt: share of known tokens that are replaced by those of another picture in training, so that drawing
            survives its own mistakes; 0 is the papers'.
        known_weight: weight of the loss of a known token, which is computed as the others are; None computes none, and
            needs equally many known tokens in every row.
    """

    def __init__(
        self,
        *,
        layout: Layout,
        order: Order,
        backbone: Backbone,
        head: Head,
        condition: Condition,
        embed: nn.Module | None = None,
        drop: float = 0.1,
        corrupt: float = 0.0,
        known_weight: float | None = None,
    ) -> None:
        super().__init__()
        self.layout, self.order, self.drop, self.corrupt = layout, order, drop, corrupt
        self.known_weight = known_weight
        self.backbone, self.head, self.condition = backbone, head, condition
        self.embed = embed

    @property
    def count(self) -> int:
        """Tokens of a picture."""
        return self.layout.length

    @property
    def coupling(self) -> Coupling | None:
        """Corrupted tokens are those of another picture of the batch."""
        if not self.corrupt:
            return None
        return Coupling("known tokens are replaced by those of another picture of the batch (--corrupt 0 does not)", 2)

    def loss(
        self, tokens: Tokens, condition: ConditionInput, rng: Rng, order: Order | None = None
    ) -> Float[Tensor, ""]:
        """Mean loss of the tokens that bear one, in the head's unit, each weighed; ``order`` is that of this batch,
        where training changes it."""
        batch = len(tokens)
        steps = (order or self.order).training_steps(batch, self.layout, rng)
        dropped = rng.uniform(batch) < self.drop
        known = tokens
        if self.corrupt:
            wrong = rng.uniform(batch, self.count) < self.corrupt
            known = torch.where(wrong.reshape(wrong.shape + (1,) * (tokens.ndim - 2)), tokens.roll(1, 0), tokens)
        everything = torch.arange(self.count, device=steps.device).expand(batch, -1)
        targets = predicted(steps) if self.known_weight is None else everything
        contexts = self.contexts(known, steps, self.condition(condition, dropped), targets)
        losses = self.head.loss(contexts, take(tokens, targets), rng)
        if self.known_weight is None:
            return losses.mean()
        weights = torch.where(steps > 0, 1.0, self.known_weight)
        total = weights.sum()
        return over_batch((weights * losses).sum() / total, total, "tokens")

    def contexts(
        self,
        tokens: Tokens,
        steps: Steps,
        condition: Conditioning,
        targets: Int[Tensor, "b m"],
        cache: Rewindable | None = None,
    ) -> Any:
        """Of the tokens at ``targets``: contexts, or a `Denoiser` if the backbone gives that."""
        if self.embed is not None:
            x = self.embed(tokens)
        else:  # what is drawn is fp32, whatever the weights are
            x = self.head.embed(tokens.to(condition.prefix.dtype) if tokens.is_floating_point() else tokens)
        return self.backbone(x, steps, condition, targets, cache)


def predicted(steps: Steps) -> Int[Tensor, "b m"]:
    """Positions of the tokens that bear a loss (step above 0) in raster order; rows must have equally many."""
    counted = steps > 0
    return (~counted).long().argsort(dim=1, stable=True)[:, : int(counted[0].sum())]
