"""A causal transformer: one token per step, each position reads the token before it and where the next one lies."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Int
from torch import Tensor, nn
from torch.nn import functional

from limner.generators.backbones.backbone import Contexts, Embedded
from limner.generators.conditions import Conditioning
from limner.nn.blocks import Context, vit_blocks
from limner.nn.cache import KeyValueCache, resume
from limner.nn.transformer import take
from limner.types import Steps


class CausalTransformer(nn.Module):
    """Any order of single steps (raster or permuted); keys and values of earlier positions are kept exactly.

    Args:
        count: image tokens.
        prefix: condition tokens, all visible to each other and to every position.
        width, depth, heads: of the transformer.
        activation: of every MLP.
        dropout: after every attention and MLP.
    """

    def __init__(
        self,
        *,
        count: int,
        prefix: int,
        width: int,
        depth: int,
        heads: int,
        activation: Callable[[Tensor], Tensor] = functional.gelu,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.width, self.prefix, self.count = width, prefix, count
        self.start = nn.Parameter(torch.zeros(1, 1, width))
        self.prefix_position = nn.Parameter(torch.zeros(1, prefix, width))
        self.position = nn.Parameter(torch.zeros(1, count, width))  # of the token that a position reads
        self.target_position = nn.Parameter(torch.zeros(1, count, width))  # of the token that it predicts
        self.blocks = vit_blocks(depth, width, heads, activation=activation, dropout=dropout)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        for weight in (self.start, self.prefix_position, self.position, self.target_position):
            nn.init.normal_(weight, std=0.02)

    def cache(self) -> KeyValueCache:
        """Room for the keys and values of the whole sequence."""
        return KeyValueCache(self.prefix + self.count, len(self.blocks), self.prefix)

    def forward(
        self,
        x: Embedded,
        steps: Steps,
        condition: Conditioning,
        targets: Int[Tensor, "b m"],
        cache: KeyValueCache | None = None,
    ) -> Contexts:
        # In drawing all tokens not yet drawn share the last step; the target comes first among them.
        order = (2 * steps).scatter_add(1, targets, -torch.ones_like(targets)).argsort(dim=1, stable=True)
        place = order.argsort(dim=1).gather(1, targets)  # where the targets are predicted
        last = int(place.max()) + 1
        known = take(x + self.position, order[:, : last - 1])
        known = torch.cat([self.start.expand(len(x), -1, -1).to(known.dtype), known], dim=1)
        inputs = known + take(self.target_position.expand(len(x), -1, -1), order[:, :last])
        y = torch.cat([condition.prefix + self.prefix_position, inputs], dim=1)
        done = resume(cache, self.prefix + int(place.min()))
        visible = self._visible(done, y.shape[1], y.device)
        y = self.blocks(y[:, done:], Context(visible, cache=cache))
        return self.norm(take(y, place + self.prefix - done))

    def _visible(self, done: int, total: int, device: torch.device) -> Tensor | None:
        if total - done == 1:
            return None
        index = torch.arange(total, device=device)
        return (index[None, :] <= index[done:, None]) | (index[None, :] < self.prefix)
