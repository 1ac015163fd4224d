"""Transformer blocks that compare queries and keys by angle, steered by a condition (VAR, arXiv:2404.02905, 3.2).

    attention   softmax(tau cos(q, k)) v,                      tau learned per head, at most 100 (arXiv:2111.09883, 3.2)
    x           x + gate * f(norm(x) * (1 + scale) + shift)    gates, scales and shifts from the condition: six vectors

The six vectors do not depend on the slots, so whoever runs the blocks makes them once, by `CosineBlock.six`.
"""

from __future__ import annotations

import math

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from limner.nn.blocks import modulate
from limner.nn.cache import KeyValueCache
from limner.nn.transformer import Mlp, Sequence, attend

SHARPEST = math.log(100.0)  # of tau

Six = Float[Tensor, "b 1 six d"]


def tanh_gelu(x: Tensor) -> Tensor:
    """GELU by its tanh approximation."""
    return functional.gelu(x, approximate="tanh")


class CosineAttention(nn.Module):
    """Multi-head attention by the angle between query and key; keys have no bias."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.q_bias, self.v_bias = nn.Parameter(torch.zeros(width)), nn.Parameter(torch.zeros(width))
        self.log_tau = nn.Parameter(torch.full((1, heads, 1, 1), math.log(4.0)))
        self.proj = nn.Linear(width, width)

    def forward(
        self, x: Sequence, visible: Bool[Tensor, "..."] | None, cache: KeyValueCache | None, block: int
    ) -> Sequence:
        query, key, value = rearrange(
            self.qkv(x), "b n (three heads c) -> three b heads n c", three=3, heads=self.heads
        )
        query, value = (
            y + rearrange(b, "(heads c) -> heads 1 c", heads=self.heads)
            for y, b in ((query, self.q_bias), (value, self.v_bias))
        )
        tau = self.log_tau.clamp_max(SHARPEST).exp() * query.shape[-1] ** 0.5  # which `attend` divides by
        query, key = functional.normalize(query, dim=-1) * tau, functional.normalize(key, dim=-1)
        if cache is not None:
            key, value = cache.extend(block, key, value)
        return self.proj(rearrange(attend(query, key, value, visible), "b heads n c -> b n (heads c)"))


class CosineBlock(nn.Module):
    """Attention and MLP under a condition.

    Args:
        width, heads: of the transformer.
        shared: the condition's six vectors are made once for all blocks, and this one adds constants of its own.
        drop_path: share of pictures for which a branch is left out in training (Huang et al., arXiv:1603.09382).
    """

    def __init__(self, width: int, heads: int, *, shared: bool = False, drop_path: float = 0.0) -> None:
        super().__init__()
        self.drop_path = drop_path
        self.norm = nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)
        self.attn = CosineAttention(width, heads)
        self.mlp = Mlp(width, 4 * width, tanh_gelu)
        self.modulation = None if shared else nn.Linear(width, 6 * width)
        self.offsets = nn.Parameter(torch.randn(1, 1, 6, width) / width**0.5) if shared else None

    def six_at_start(self) -> Float[Tensor, "six *d"]:
        """The weights that make the six vectors, one row or table for each."""
        if self.modulation is not None:
            return self.modulation.weight.unflatten(0, (6, -1))
        assert self.offsets is not None
        return self.offsets[0, 0]

    def six(self, condition: Float[Tensor, "b d"], shared: Float[Tensor, "b d6"] | None) -> Six:
        """Gates, scales and shifts, each of attention and MLP."""
        made = self.modulation(condition) if self.modulation is not None else shared
        assert made is not None, "blocks that share their six vectors are given them"
        six = rearrange(made, "b (six d) -> b 1 six d", six=6)
        return six if self.offsets is None else six + self.offsets

    def forward(
        self,
        x: Sequence,
        six: Six,
        visible: Bool[Tensor, "..."] | None = None,
        cache: KeyValueCache | None = None,
        block: int = 0,
    ) -> Sequence:
        gate1, gate2, scale1, scale2, shift1, shift2 = six.unbind(2)
        x = x + self._drop(gate1 * self.attn(modulate(self.norm(x), shift1, scale1), visible, cache, block))
        return x + self._drop(gate2 * self.mlp(modulate(self.norm(x), shift2, scale2)))

    def _drop(self, branch: Sequence) -> Sequence:
        if not self.training or self.drop_path == 0.0:
            return branch
        kept = torch.rand(len(branch), 1, 1, device=branch.device) >= self.drop_path
        return branch * kept / (1.0 - self.drop_path)
