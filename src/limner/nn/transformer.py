"""Transformer blocks (Vaswani et al., arXiv:1706.03762; pre-norm) with the parameter names that vision models share.

On a CPU the backward pass of the fused attention is slower than plain matrix products for short sequences, so those
are written out; longer ones, and accelerators, use the fused kernel.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn
from torch.nn import functional

Sequence = Float[Tensor, "b n d"]
Heads = Float[Tensor, "b heads n head_dim"]
AllHeads = Float[Tensor, "b heads total head_dim"]
PLAIN_BELOW = 256  # tokens: plain attention trains 2 to 4 times faster at 80 on a CPU, the fused kernel wins at 256


def attend(query: Heads, key: AllHeads, value: AllHeads, visible: Bool[Tensor, "..."] | None = None) -> Heads:
    """``softmax(q k^T / sqrt(head_dim)) v``; ``visible``, broadcast to [b heads n m]: which keys each query sees."""
    if query.device.type != "cpu" or key.shape[-2] >= PLAIN_BELOW:
        return functional.scaled_dot_product_attention(query, key, value, attn_mask=visible)
    precision = query.dtype
    if precision == torch.bfloat16 and not torch.is_grad_enabled():
        # In bf16 oneDNN makes a kernel for every number of keys, and keeps it: 350 MiB once 255 tokens are drawn.
        query, key, value = query.float(), key.float(), value.float()
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)
    if visible is not None:
        scores = scores.masked_fill(~visible, float("-inf"))
    return (scores.softmax(-1) @ value).to(precision)


class Mlp(nn.Module):
    """Two linear layers around an activation."""

    def __init__(self, width: int, hidden: int, activation: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)
        self.activation = activation

    def forward(self, x: Float[Tensor, "*n d"]) -> Float[Tensor, "*n e"]:
        return self.fc2(self.activation(self.fc1(x)))


def take(x: Shaped[Tensor, "b n *d"], index: Tensor) -> Tensor:
    """Rows of each sample: ``out[i, j] = x[i, index[i, j]]``."""
    index = index.reshape(*index.shape, *(1 for _ in x.shape[2:])).expand(-1, -1, *x.shape[2:])
    return torch.gather(x, 1, index)


def put(x: Shaped[Tensor, "b n *d"], index: Tensor, values: Tensor) -> Tensor:
    """A copy of ``x`` with ``out[i, index[i, j]] = values[i, j]``."""
    index = index.reshape(*index.shape, *(1 for _ in x.shape[2:])).expand(-1, -1, *x.shape[2:])
    return torch.scatter(x, 1, index, values.to(x.dtype))
