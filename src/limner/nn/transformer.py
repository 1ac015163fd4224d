"""Transformer blocks (Vaswani et al., arXiv:1706.03762; pre-norm) with the parameter names that vision models share.

On a CPU the backward pass of the fused attention is slower than plain matrix products for short sequences, so those
are written out; longer ones, and accelerators, use the fused kernel.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from einops import rearrange
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


class KeyValueCache:
    """Keys and values of ``length`` slots in each of ``depth`` blocks, filled from the left.

    One tensor holds them all: when a drawing ends, a large one goes back to the system at once, whereas of many small
    ones the C library keeps the memory, on top of what then paints the picture.
    """

    def __init__(self, length: int, depth: int) -> None:
        self.length, self.depth, self.filled = length, depth, 0
        self._kept: Float[Tensor, "depth two b heads length head_dim"] | None = None

    def extend(self, block: int, key: Heads, value: Heads) -> tuple[AllHeads, AllHeads]:
        """Append the keys and values of one block and return all of them; later calls may bring the first rows only."""
        if self._kept is None:
            batch, heads, _, width = key.shape
            self._kept = key.new_empty(self.depth, 2, batch, heads, self.length, width)
        keys, values = self._kept[block, :, : len(key)]
        end = self.filled + key.shape[2]
        keys[:, :, self.filled : end], values[:, :, self.filled : end] = key, value
        return keys[:, :, :end], values[:, :, :end]


class Attention(nn.Module):
    """Multi-head self-attention; ``normalised``: LayerNorm on the queries and keys of each head (Dehghani et al.,
    arXiv:2302.05442, Section 2); ``bias``: of queries, keys and values."""

    def __init__(self, width: int, heads: int, *, normalised: bool = False, bias: bool = True) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias)
        self.q_norm, self.k_norm = (
            nn.LayerNorm(width // heads, eps=1e-6) if normalised else nn.Identity() for _ in range(2)
        )
        self.proj = nn.Linear(width, width)

    def forward(
        self,
        x: Sequence,
        visible: Bool[Tensor, "..."] | None = None,
        cache: KeyValueCache | None = None,
        block: int = 0,
    ) -> Sequence:
        query, key, value = rearrange(
            self.qkv(x), "b n (three heads c) -> three b heads n c", three=3, heads=self.heads
        )
        query, key = self.q_norm(query), self.k_norm(key)
        if cache is not None:
            key, value = cache.extend(block, key, value)
        return self.proj(rearrange(attend(query, key, value, visible), "b heads n c -> b n (heads c)"))


class Mlp(nn.Module):
    """Two linear layers around an activation."""

    def __init__(self, width: int, hidden: int, activation: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)
        self.activation = activation

    def forward(self, x: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d"]:
        return self.fc2(self.activation(self.fc1(x)))


class Block(nn.Module):
    """Attention and MLP, each on a normalised input and added to it; ``learned``: LayerNorm scales channels itself."""

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        activation: Callable[[Tensor], Tensor] = functional.gelu,
        dropout: float = 0.0,
        eps: float = 1e-6,
        hidden: int | None = None,
        bias: bool = True,
        learned: bool = True,
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=eps, elementwise_affine=learned)
        self.attn = Attention(width, heads, bias=bias)
        self.norm2 = nn.LayerNorm(width, eps=eps, elementwise_affine=learned)
        self.mlp = Mlp(width, hidden or 4 * width, activation)
        self.dropout = dropout

    def forward(
        self,
        x: Sequence,
        visible: Bool[Tensor, "..."] | None = None,
        cache: KeyValueCache | None = None,
        block: int = 0,
    ) -> Sequence:
        x = x + functional.dropout(self.attn(self.norm1(x), visible, cache, block), self.dropout, self.training)
        return x + functional.dropout(self.mlp(self.norm2(x)), self.dropout, self.training)


class PostNormBlock(nn.Module):
    """Attention and MLP, each added to its input and the sum normalised: the block of 2017, and of BERT."""

    def __init__(self, width: int, heads: int, *, hidden: int, dropout: float = 0.0, eps: float = 1e-5) -> None:
        super().__init__()
        self.attn = Attention(width, heads)
        self.norm1 = nn.LayerNorm(width, eps=eps)
        self.mlp = Mlp(width, hidden, functional.gelu)
        self.norm2 = nn.LayerNorm(width, eps=eps)
        self.dropout = dropout

    def forward(self, x: Sequence) -> Sequence:
        x = self.norm1(x + functional.dropout(self.attn(x), self.dropout, self.training))
        return self.norm2(x + functional.dropout(self.mlp(x), self.dropout, self.training))


def take(x: Shaped[Tensor, "b n *d"], index: Tensor) -> Tensor:
    """Rows of each sample: ``out[i, j] = x[i, index[i, j]]``."""
    index = index.reshape(*index.shape, *(1 for _ in x.shape[2:])).expand(-1, -1, *x.shape[2:])
    return torch.gather(x, 1, index)


def put(x: Shaped[Tensor, "b n *d"], index: Tensor, values: Tensor) -> Tensor:
    """A copy of ``x`` with ``out[i, index[i, j]] = values[i, j]``."""
    index = index.reshape(*index.shape, *(1 for _ in x.shape[2:])).expand(-1, -1, *x.shape[2:])
    return torch.scatter(x, 1, index, values.to(x.dtype))
