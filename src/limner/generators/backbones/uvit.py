"""U-ViT: a transformer whose second half also reads what its first half made (Bao et al., arXiv:2209.12152).

keep x after each block of the first half;    x <- W [x | kept], the last kept first, before each of the second half
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from limner.generators.backbones.backbone import Contexts, Embedded, masked
from limner.nn.transformer import Block, KeyValueCache, take
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

        def blocks(depth: int) -> nn.ModuleList:
            return nn.ModuleList(Block(width, heads, eps=1e-5, hidden=hidden, bias=False) for _ in range(depth))

        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        self.position = nn.Parameter(torch.zeros(1, prefix + count, width))
        self.in_blocks, self.mid_blocks, self.out_blocks = blocks(depth // 2), blocks(1), blocks(depth // 2)
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
        prefix: Float[Tensor, "b k d"],
        wanted: Int[Tensor, "b m"],
        cache: KeyValueCache | None = None,
    ) -> Contexts:
        y = torch.cat([prefix, masked(x, steps, self.mask_token)], dim=1) + self.position
        kept = []
        for block in self.in_blocks:
            y = block(y)
            kept.append(y)
        for block in self.mid_blocks:
            y = block(y)
        for skip, block in zip(self.skips, self.out_blocks):
            y = block(skip(torch.cat([y, kept.pop()], dim=-1)))
        return self.norm(take(y[:, self.prefix :], wanted))
