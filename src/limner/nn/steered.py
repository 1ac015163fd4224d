"""Blocks of transformers that denoise: RMSNorm, rotary attention, and a condition that shifts, scales and gates.

    x + gate * f(norm(x) * (1 + scale) + shift)     or, without a condition,     x + f(norm(x))

Slots share conditions: there is one per noise level, and its modulation is made once and not once per slot.
"""

from __future__ import annotations

from collections.abc import Callable

from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from limner.nn.blocks import modulate
from limner.nn.cache import Cache
from limner.nn.norms import RmsNorm
from limner.nn.transformer import Sequence, attend

Rotation = Callable[[Tensor], Tensor]


def spread(modulation: Float[Tensor, "b levels d"], level: Int[Tensor, "n"]) -> Float[Tensor, "b #n d"]:
    """What steers each slot; one level serves all."""
    return modulation if modulation.shape[1] == 1 else modulation[:, level]


class RotaryAttention(nn.Module):
    """Multi-head self-attention whose queries and keys know their places; ``normalised``: RMSNorm on both, per head."""

    def __init__(self, width: int, heads: int, *, normalised: bool) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.q_norm, self.k_norm = (
            RmsNorm(width // heads, eps=1e-6) if normalised else nn.Identity() for _ in range(2)
        )
        self.proj = nn.Linear(width, width)

    def forward(
        self, x: Sequence, rotate: Rotation, visible: Bool[Tensor, "..."] | None, memory: Cache | None, block: int
    ) -> Sequence:
        query, key, value = rearrange(
            self.qkv(x), "b n (three heads c) -> three b heads n c", three=3, heads=self.heads
        )
        query, key = rotate(self.q_norm(query)), rotate(self.k_norm(key))
        if memory is not None:
            key, value = memory.extend(block, key, value)
        return self.proj(rearrange(attend(query, key, value, visible), "b heads n c -> b n (heads c)"))


class SteeredBlock(nn.Module):
    """Attention and MLP.

    Args:
        width, heads: of the transformer.
        mlp: from width to width.
        learned: let RMSNorm scale channels.
        normalised: RMSNorm on queries and keys.
        dropout: after attention and MLP.
    """

    def __init__(
        self, width: int, heads: int, mlp: nn.Module, *, learned: bool, normalised: bool, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.norm1 = RmsNorm(width, eps=1e-6, learned=learned)
        self.attn = RotaryAttention(width, heads, normalised=normalised)
        self.norm2 = RmsNorm(width, eps=1e-6, learned=learned)
        self.mlp = mlp
        self.modulation = nn.Linear(width, 6 * width)
        self.dropout = dropout

    def forward(
        self,
        x: Sequence,
        rotate: Rotation,
        steering: Float[Tensor, "b levels d"] | None,
        level: Int[Tensor, "n"],
        visible: Bool[Tensor, "..."] | None = None,
        memory: Cache | None = None,
        block: int = 0,
    ) -> Sequence:
        """``rotate`` turns queries and keys; slot i is steered by ``steering[:, level[i]]``, if by anything."""
        if steering is None:
            x = x + self._drop(self.attn(self.norm1(x), rotate, visible, memory, block))
            return x + self._drop(self.mlp(self.norm2(x)))
        modulation = spread(self.modulation(steering), level)
        shift1, scale1, gate1, shift2, scale2, gate2 = modulation.chunk(6, dim=-1)
        y = self.attn(modulate(self.norm1(x), shift1, scale1), rotate, visible, memory, block)
        x = x + gate1 * self._drop(y)
        return x + gate2 * self._drop(self.mlp(modulate(self.norm2(x), shift2, scale2)))

    def _drop(self, x: Sequence) -> Sequence:
        return functional.dropout(x, self.dropout, self.training)
