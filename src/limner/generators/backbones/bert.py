"""BERT over pictures: masked tokens among known ones, all seeing all (Devlin et al., arXiv:1810.04805; Chang et al.,
MaskGIT, arXiv:2202.04200, Section 3.1). Each block normalises after adding: ``x <- norm(x + f(x))``.
"""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor, nn
from torch.nn import functional

from limner.generators.backbones.backbone import Contexts, Embedded, masked
from limner.generators.conditions import Conditioning
from limner.nn.blocks import Attention, PostNormBlock, Stack
from limner.nn.cache import KeyValueCache
from limner.nn.transformer import Mlp, take
from limner.types import Steps

EPS = 1e-12  # of every LayerNorm, as in the official BERT


class Bert(nn.Module):
    """Bidirectional attention over condition and tokens; those of the last step present are masked.

    Args:
        count: image tokens.
        prefix: condition tokens, in front.
        width, depth, heads: of the transformer.
        hidden: inner width of every MLP.
        dropout: of the embedded sequence, and after every attention and MLP.
    """

    def __init__(
        self, *, count: int, prefix: int, width: int, depth: int, heads: int, hidden: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.width, self.prefix = width, prefix
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        self.position = nn.Parameter(torch.zeros(1, prefix + count, width))
        self.norm = nn.LayerNorm(width, eps=EPS)
        self.dropout = nn.Dropout(dropout)
        self.blocks = Stack(
            PostNormBlock(
                Attention(width, heads),
                Mlp(width, hidden, functional.gelu),
                lambda: nn.LayerNorm(width, eps=EPS),
                drop=nn.Dropout(dropout),
            )
            for _ in range(depth)
        )
        for name, parameter in self.named_parameters():
            if parameter.ndim > 1:
                nn.init.normal_(parameter, std=0.02)
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
        y = torch.cat([condition.prefix, masked(x, steps, self.mask_token)], dim=1)
        y = self.blocks(self.dropout(self.norm(y + self.position)))
        return take(y[:, self.prefix :], targets)
