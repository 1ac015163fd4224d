"""The text tower of contrastive models: a causal transformer read at a caption's last token (CLIP, arXiv:2103.00020,
Section 2.4).

CLIP reads at its end-of-text token, which is the last that is no padding; so is, without one, the last subword, which
alone has seen all others.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from limner.nn.blocks import Context, vit_blocks


class TextTransformer(nn.Module):
    """Ids, padded at the end with 0, to one vector per caption.

    Args:
        vocabulary: how many ids there are.
        count: ids of a caption.
        width, depth, heads: of the transformer.
        activation: of the MLPs.
    """

    visible: Tensor

    def __init__(
        self,
        vocabulary: int,
        *,
        count: int,
        width: int,
        depth: int,
        heads: int,
        activation: Callable[[Tensor], Tensor] = functional.gelu,
    ) -> None:
        super().__init__()
        self.width = width
        self.embed = nn.Embedding(vocabulary, width)
        self.position = nn.Parameter(torch.empty(count, width))
        self.blocks = vit_blocks(depth, width, heads, activation=activation, eps=1e-5)
        self.norm = nn.LayerNorm(width)
        for weight in (self.embed.weight, self.position):
            nn.init.normal_(weight, std=width**-0.5)
        self.register_buffer("visible", torch.ones(count, count).tril().bool(), persistent=False)

    def forward(self, ids: Int[Tensor, "b k"]) -> Float[Tensor, "b d"]:
        places = torch.arange(ids.shape[1], device=ids.device)
        last = torch.where(ids != 0, places, 0).amax(1)
        count = int(last.max()) + 1  # what lies after the longest caption is read by none
        x = self.embed(ids[:, :count]) + self.position[:count]
        x = self.blocks(x, Context(self.visible[:count, :count]))
        return self.norm(x[torch.arange(len(x), device=ids.device), last])
