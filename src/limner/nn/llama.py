"""Llama's block (Touvron et al., arXiv:2302.13971, Section 2.2): no biases, RMSNorm first, places by rotation.

x + attention(rmsnorm(x)),   x + swiglu(rmsnorm(x))
"""

from __future__ import annotations

from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from limner.nn import rope
from limner.nn.cache import KeyValueCache
from limner.nn.norms import RmsNorm, SwiGlu
from limner.nn.transformer import Sequence, attend

Turns = Float[Tensor, "n f 2"]


class RotaryAttention(nn.Module):
    """Self-attention without biases, its queries and keys turned by their places."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.proj = nn.Linear(width, width, bias=False)

    def forward(
        self, x: Sequence, turns: Turns, visible: Bool[Tensor, "..."] | None, cache: KeyValueCache | None, block: int
    ) -> Sequence:
        qkv = rearrange(self.qkv(x), "b n (three heads c) -> three b heads n c", three=3, heads=self.heads)
        (query, key), value = rope.rotate_pairs(qkv[:2], turns), qkv[2]
        if cache is not None:
            key, value = cache.extend(block, key, value)
        return self.proj(rearrange(attend(query, key, value, visible), "b heads n c -> b n (heads c)"))


class LlamaBlock(nn.Module):
    """Attention and SwiGLU, each on a normalised input and added to it."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.norm1, self.attn = RmsNorm(width), RotaryAttention(width, heads)
        self.norm2, self.mlp = RmsNorm(width), SwiGlu(width, hidden)
        self.dropout = dropout

    def forward(
        self, x: Sequence, turns: Turns, visible: Bool[Tensor, "..."] | None, cache: KeyValueCache | None, block: int
    ) -> Sequence:
        y = self.attn(self.norm1(x), turns, visible, cache, block)
        x = x + functional.dropout(y, self.dropout, self.training)
        return x + functional.dropout(self.mlp(self.norm2(x)), self.dropout, self.training)


def initialise(module: nn.Module) -> None:
    """Normal weights of deviation 0.02 for every matrix, as the official code starts."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.normal_(part.weight, std=0.02)
