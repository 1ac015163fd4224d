"""What Llama's block has instead of LayerNorm and a plain MLP (Touvron et al., arXiv:2302.13971, Section 2.2).

RMSNorm(x) = weight * x / sqrt(mean(x^2) + eps)          (Zhang & Sennrich, arXiv:1910.07467)
SwiGLU(x)  = W_output (silu(W_gate x) * W_value x)       (Shazeer, arXiv:2002.05202)
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

Vectors = Float[Tensor, "*n d"]


class RmsNorm(nn.Module):
    """Each vector at unit mean square, then scaled per channel unless ``learned`` is False."""

    weight: nn.Parameter | None

    def __init__(self, width: int, *, eps: float = 1e-5, learned: bool = True) -> None:
        super().__init__()
        self.width, self.eps = width, eps
        self.register_parameter("weight", nn.Parameter(torch.ones(width)) if learned else None)

    def forward(self, x: Vectors) -> Vectors:
        weight = None if self.weight is None else self.weight.to(x.dtype)  # kernels want one precision
        return functional.rms_norm(x, (self.width,), weight, self.eps)


class SwiGlu(nn.Module):
    """A gated MLP of two inner halves of ``hidden`` channels; with another ``activation`` another of GLU's variants."""

    def __init__(
        self,
        width: int,
        hidden: int,
        *,
        bias: bool = False,
        activation: Callable[[Tensor], Tensor] = functional.silu,
    ) -> None:
        super().__init__()
        self.activation = activation
        self.gate = nn.Linear(width, hidden, bias)
        self.value = nn.Linear(width, hidden, bias)
        self.output = nn.Linear(hidden, width, bias)

    def forward(self, x: Vectors) -> Vectors:
        return self.output(self.activation(self.gate(x)) * self.value(x))


def gated_hidden(width: int, multiple: int = 256) -> int:
    """Inner channels with which SwiGLU has about the parameters of an MLP of four times the width: two thirds of that,
    rounded up to a multiple (the official Llama code)."""
    return -(-(8 * width // 3) // multiple) * multiple
