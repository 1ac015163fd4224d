"""M-VAR's block: attention within a scale, a recurrence across scales (Ren et al., arXiv:2411.10433).

    x <- x + gate_1 attention(norm(x) (1 + scale_1) + shift_1)       within the position's own scale
    x <- x + gate_2 mamba(norm(x) (1 + scale_2) + shift_2)           over all positions, from coarse to fine
    x <- x + gate_3 mlp(norm(x) (1 + scale_3) + shift_3)

What a scale needs of coarser ones is in the state of the recurrence, which does not grow: no keys or values are kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from limner.generators.backbones.scales import Vectors
from limner.nn.blocks import EVERYTHING, Context, DropPath, modulate
from limner.nn.cosine import CosineAttention, tanh_gelu
from limner.nn.ssm import Mamba2
from limner.nn.transformer import Mlp, Sequence


class Branch(NamedTuple):
    """The modulation of one branch."""

    gate: Float[Tensor, "b 1 d"]
    scale: Float[Tensor, "b 1 d"]
    shift: Float[Tensor, "b 1 d"]


class MixedScaleBlock(nn.Module):
    """A block of a `ScaleTransformer` with the mask `own`; its condition makes gates, then scales, then shifts.

    Args:
        width, heads: of the attention.
        shared: one layer outside makes the vectors of all blocks, and this one adds constants of its own.
        drop_path: share of images for which a branch is left out in training.
        attention: made of width and heads; VAR's, which compares by angle, unless given.
        mixer: made of the width; the published recurrence unless given.
    """

    branches = 3

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        shared: bool = False,
        drop_path: float = 0.0,
        attention: Callable[[int, int], nn.Module] = CosineAttention,
        mixer: Callable[[int], nn.Module] = Mamba2,
    ) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)
        self.attn = attention(width, heads)
        self.mamba = mixer(width)
        self.mlp = Mlp(width, 4 * width, tanh_gelu)
        self.drop = DropPath(drop_path)
        self.modulation = None if shared else nn.Linear(width, 9 * width)
        self.offsets = nn.Parameter(torch.randn(1, 1, 9, width) / width**0.5) if shared else None

    @staticmethod
    def modulation_of(vectors: Vectors) -> tuple[Branch, Branch, Branch]:
        """Of attention, recurrence and MLP."""
        gates, scales, shifts = (part.unbind(2) for part in vectors.chunk(3, dim=2))
        attention, recurrence, mlp = map(Branch, gates, scales, shifts)
        return attention, recurrence, mlp

    def forward(self, x: Sequence, context: Context = EVERYTHING, layer: int = 0) -> Sequence:
        assert context.modulation is not None, "every pass of this block has a condition"
        attention, recurrence, mlp = context.modulation(layer)
        within = context._replace(cache=None)
        if "attn" not in context.skip:
            y = self.attn(modulate(self.norm(x), attention.shift, attention.scale), within, layer)
            x = x + attention.gate * self.drop(y)
            y = self.mamba(modulate(self.norm(x), recurrence.shift, recurrence.scale), context, layer)
            x = x + recurrence.gate * self.drop(y)
        if "mlp" in context.skip:
            return x
        return x + mlp.gate * self.drop(self.mlp(modulate(self.norm(x), mlp.shift, mlp.scale)))
