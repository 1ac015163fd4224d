"""RAR's backbone: a causal transformer for any order of single steps, each position modulated by the condition and its
time (Yu et al., arXiv:2411.00776, Section 3).

    positions    start, condition x k, first token, second token ... of the order
    position i = what it holds + position of that + target_position of the token that it is to predict
    blocks       adaLN by  mean(condition) + time[i],   which no token changes

Without ``target_position`` two orders that begin alike would ask for different tokens by the same question.
"""

from __future__ import annotations

from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from limner.generators.backbones.backbone import Contexts, Embedded
from limner.generators.conditions import Conditioning
from limner.nn.blocks import Attention, Block, Context, Modulation, Stack, modulate
from limner.nn.cache import KeyValueCache, resume
from limner.nn.transformer import Mlp, take
from limner.types import Steps

AHEAD = 16  # positions whose modulations are made at once in drawing: a third of all weights is then read once for them


class AdaptiveCausalTransformer(nn.Module):
    """Any order of single steps, raster or permuted; keys and values of earlier positions are kept exactly.

    Args:
        count: image tokens.
        prefix: condition tokens; their mean modulates the blocks (RAR has one, the class).
        width, depth, heads: of the transformer.
        hidden: inner channels of every MLP; four times the width unless given.
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
        hidden: int | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.width, self.prefix, self.count = width, prefix, count
        self.start = nn.Parameter(torch.zeros(1, 1, width))
        self.prefix_position = nn.Parameter(torch.zeros(1, 1 + prefix, width))  # of the start and the condition
        self.position = nn.Parameter(torch.zeros(1, count, width))  # of the token that a position holds
        self.target_position = nn.Parameter(torch.zeros(1, count, width))  # of the token that it predicts
        self.time = nn.Parameter(torch.zeros(1, prefix + count, width))
        norm = partial(nn.LayerNorm, eps=1e-6)
        self.blocks = Stack(
            Block(
                Attention(width, heads, norm=norm),
                Mlp(width, hidden or 4 * width, functional.gelu),
                partial(norm, width),
                drop=nn.Dropout(dropout),
            )
            for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)
        self.modulations = nn.ModuleList(nn.Linear(width, 6 * width) for _ in range(depth))  # of each block
        self.last_modulation = nn.Linear(width, 2 * width)  # of the norm
        for weight in (self.start, self.prefix_position, self.position, self.target_position, self.time):
            nn.init.normal_(weight, std=0.02)
        for layer in (*self.modulations, self.last_modulation):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

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
        place = order.argsort(dim=1).gather(1, targets) + self.prefix  # positions that predict the targets
        done, last = resume(cache, int(place.min())), int(place.max()) + 1
        y = self._inputs(x, order, condition.prefix, done, last)
        vector = condition.vector()[:, None]
        made = (
            self._modulations(vector, done, last)
            if cache is None
            else cache.ahead(len(x), done, last, lambda: self._modulations(vector, done, max(last, done + AHEAD)))
        )
        mask = None
        if last - done > 1:
            index = torch.arange(last, device=x.device)
            mask = index[None, :] <= index[done:, None]
        y = self.blocks(y, Context(mask, modulation=lambda layer: Modulation.of(made[layer]), cache=cache))
        scale, shift = take(made[-1], place - done).chunk(2, dim=-1)
        return modulate(self.norm(take(y, place - done)), shift, scale)

    def _inputs(
        self, x: Embedded, order: Int[Tensor, "b n"], prefix: Float[Tensor, "b k d"], start: int, end: int
    ) -> Float[Tensor, "b positions d"]:
        """Positions from ``start`` to ``end``: what they hold, and where what they predict lies."""
        lead = 1 + self.prefix
        known = order[:, max(start - lead, 0) : max(end - lead, 0)]
        held = take(x, known) + self.position[0, known]
        if start < lead:
            first = torch.cat([self.start.expand(len(x), -1, -1).to(prefix.dtype), prefix], dim=1)
            held = torch.cat([(first + self.prefix_position)[:, start:end], held], dim=1)
        targets = self.target_position[0, order[:, max(start - self.prefix, 0) : end - self.prefix]]
        return held + functional.pad(targets, (0, 0, held.shape[1] - targets.shape[1], 0))

    def _modulations(
        self, condition: Float[Tensor, "b 1 d"], start: int, end: int
    ) -> list[Float[Tensor, "b positions dn"]]:
        """Of every block, then of the last norm, for the positions from ``start`` to ``end``."""
        condition = functional.silu(condition + self.time[:, start:end])
        return [layer(condition) for layer in (*self.modulations, self.last_modulation)]
