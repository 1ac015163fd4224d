"""U-ViT: a transformer whose second half also reads what its first half made (Bao et al., arXiv:2209.12152).

keep x after each block of the first half;    x <- W [x | kept], the last kept first, before each of the second half
"""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor, nn
from torch.nn import functional

from limner.generators.backbones.backbone import Contexts, Embedded, masked
from limner.generators.conditions import Conditioning
from limner.nn.blocks import Attention, Block, Context, Stack, hooked
from limner.nn.cache import KeyValueCache
from limner.nn.transformer import Mlp, Sequence, take
from limner.types import Steps


class UVit(nn.Module):
    """Bidirectional attention over condition and tokens; those of the last step present are masked.

    Args:
        count: image tokens.
        prefix: condition tokens, in front.
        width, heads: of the transformer.
        depth: blocks of both halves together; one more lies between them.
        hidden: inner width of every MLP.
    """

    def __init__(self, *, count: int, prefix: int, width: int, depth: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.width, self.prefix = width, prefix

        def block() -> Block:
            attention = Attention(width, heads, qkv=nn.Linear(width, 3 * width, bias=False))
            return Block(attention, Mlp(width, hidden, functional.gelu), lambda: nn.LayerNorm(width))

        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        self.position = nn.Parameter(torch.zeros(1, prefix + count, width))
        self.in_blocks, self.mid_blocks, self.out_blocks = (
            Stack(block() for _ in range(part)) for part in (depth // 2, 1, depth // 2)
        )
        self.skips = nn.ModuleList(nn.Linear(2 * width, width) for _ in self.out_blocks)
        self.norm = nn.LayerNorm(width)
        for name, parameter in self.named_parameters():
            if parameter.ndim > 1:
                nn.init.trunc_normal_(parameter, std=0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def cache(self) -> None:
        """Known tokens attend to newly known ones, so every pass is computed anew."""
        return

    def forward(
        self,
        x: Embedded,
        steps: Steps,
        condition: Conditioning,
        targets: Int[Tensor, "b m"],
        cache: KeyValueCache | None = None,
    ) -> Contexts:
        y = torch.cat([condition.prefix, masked(x, steps, self.mask_token)], dim=1) + self.position
        kept = list(self.in_blocks.states(y))
        y = self.mid_blocks(kept[-1])

        def join(layer: int, y: Sequence, context: Context) -> tuple[Sequence, Context]:
            return self.skips[layer](torch.cat([y, kept.pop()], dim=-1)), context

        with hooked(self.out_blocks, join):
            y = self.out_blocks(y)
        return self.norm(take(y[:, self.prefix :], targets))
