"""Blocks steered by a condition: it shifts, scales and gates (DiT's adaLN, arXiv:2212.09748, Section 3).

    x + gate * f(norm(x) * (1 + scale) + shift),   [shift | scale | gate] = linear(silu(condition))

A condition may differ from slot to slot, and is known before the slots are: the linear map is not the block's own, so
that who runs the blocks may call it once for many slots. With the map at zero (adaLN-zero) a block starts as identity.
"""

from __future__ import annotations

from collections.abc import Callable

from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from limner.nn.blocks import Attention, Context, modulate
from limner.nn.cache import KeyValueCache
from limner.nn.transformer import Mlp, Sequence


class AdaptiveBlock(nn.Module):
    """Attention and MLP under a condition.

    Args:
        width, heads: of the transformer.
        hidden: inner channels of the MLP.
        normalised: LayerNorm on queries and keys.
        activation: of the MLP.
        dropout: after attention and MLP.
        learned: let LayerNorm scale and shift channels by itself.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        hidden: int,
        *,
        normalised: bool = False,
        activation: Callable[[Tensor], Tensor] = functional.gelu,
        dropout: float = 0.0,
        learned: bool = True,
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6, elementwise_affine=learned)
        self.attn = Attention(
            width, heads, norm=(lambda size: nn.LayerNorm(size, eps=1e-6)) if normalised else nn.Identity
        )
        self.norm2 = nn.LayerNorm(width, eps=1e-6, elementwise_affine=learned)
        self.mlp = Mlp(width, hidden, activation)
        self.dropout = dropout

    def forward(
        self,
        x: Sequence,
        modulation: Float[Tensor, "b #n d6"],
        visible: Bool[Tensor, "..."] | None = None,
        cache: KeyValueCache | None = None,
        block: int = 0,
    ) -> Sequence:
        """``modulation``: shift, scale and gate of the attention, then of the MLP."""
        shift1, scale1, gate1, shift2, scale2, gate2 = modulation.chunk(6, dim=-1)
        y = self.attn(modulate(self.norm1(x), shift1, scale1), Context(visible, cache=cache), block)
        x = x + gate1 * functional.dropout(y, self.dropout, self.training)
        y = self.mlp(modulate(self.norm2(x), shift2, scale2))
        return x + gate2 * functional.dropout(y, self.dropout, self.training)
