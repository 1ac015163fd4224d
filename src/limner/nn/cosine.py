"""Attention by angle (Liu et al., arXiv:2111.09883, Section 3.2): softmax(tau cos(q, k)) v, tau learned per head and at
most 100."""

from __future__ import annotations

import math

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from limner.nn.blocks import Attention, Context
from limner.nn.transformer import Heads, Sequence

SHARPEST = math.log(100.0)  # of tau


def tanh_gelu(x: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d"]:
    """GELU by its tanh approximation."""
    return functional.gelu(x, approximate="tanh")


class BiasedAttention(Attention):
    """Multi-head attention whose queries and values have a bias, and keys none; scores are a quarter of the usual ones
    (VAR, arXiv:2404.02905, official code without ``attn_l2_norm``)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__(width, heads, qkv=nn.Linear(width, 3 * width, bias=False))
        self.q_bias, self.v_bias = nn.Parameter(torch.zeros(width)), nn.Parameter(torch.zeros(width))

    def parts(self, x: Sequence, context: Context) -> tuple[Heads, Heads, Heads]:
        """Queries at a quarter of their length, keys, and values."""
        query, key, value = rearrange(
            self.qkv(x), "b n (three heads c) -> three b heads n c", three=3, heads=self.heads
        )
        query, value = (
            y + rearrange(b, "(heads c) -> heads 1 c", heads=self.heads)
            for y, b in ((query, self.q_bias), (value, self.v_bias))
        )
        return 0.25 * query, key, value


class CosineAttention(BiasedAttention):
    """The same by the angle between query and key, as VAR has it in all its released models."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__(width, heads)
        self.log_tau = nn.Parameter(torch.full((1, heads, 1, 1), math.log(4.0)))

    def parts(self, x: Sequence, context: Context) -> tuple[Heads, Heads, Heads]:
        """Queries of length tau, keys of length 1, and values."""
        query, key, value = super().parts(x, context)
        tau = self.log_tau.clamp_max(SHARPEST).exp() * query.shape[-1] ** 0.5  # which `attend` divides by
        return functional.normalize(query, dim=-1) * tau, functional.normalize(key, dim=-1), value
