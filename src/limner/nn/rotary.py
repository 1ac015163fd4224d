"""A transformer block whose places are rotations: pre-norm attention with rotary positions, then an MLP.

LayerNorm and SiLU, where Llama has RMSNorm and SwiGLU, because a CPU has fused kernels for them.
"""

from __future__ import annotations

from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from limner.nn import rope
from limner.nn.cache import KeyValueCache
from limner.nn.transformer import Mlp, Sequence, attend

Turns = Float[Tensor, "*b n f 2"]  # cosines and sines of each slot's place, see `limner.nn.rope`


class RotaryAttention(nn.Module):
    """Multi-head self-attention; queries and keys are turned by their places, planes half a head apart."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.proj = nn.Linear(width, width, bias=False)

    def forward(
        self, x: Sequence, turns: Turns, visible: Bool[Tensor, "..."] | None, cache: KeyValueCache | None, block: int
    ) -> Sequence:
        qkv = rearrange(self.qkv(x), "b n (three heads c) -> three b heads n c", three=3, heads=self.heads)
        query, key = rope.rotate_halves(qkv[:2], turns.unsqueeze(-4)).unbind(0)
        value = qkv[2]
        if cache is not None:
            key, value = cache.extend(block, key, value)
        return self.proj(rearrange(attend(query, key, value, visible), "b heads n c -> b n (heads c)"))


class RotaryBlock(nn.Module):
    """Attention and MLP, each on a normalised input and added to it."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(width), RotaryAttention(width, heads)
        self.norm2, self.mlp = nn.LayerNorm(width), Mlp(width, 4 * width, functional.silu)

    def forward(
        self, x: Sequence, turns: Turns, visible: Bool[Tensor, "..."] | None, cache: KeyValueCache | None, block: int
    ) -> Sequence:
        x = x + self.attn(self.norm1(x), turns, visible, cache, block)
        return x + self.mlp(self.norm2(x))
