"""Pairwise sigmoid: does this caption belong to this picture, asked of every pair of the batch by itself (SigLIP,
arXiv:2303.15343, Equation 1 and Algorithm 1).

    L = -1/B sum_ij log sigmoid(z_ij (s u_i v_j + b)),   z_ii = 1, else -1,   s = exp(t) and b learned

The bias starts at -10, so that the many negatives begin as what they are.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from limner.nn.whole_batch import Coupling


class PairwiseSigmoid(nn.Module):
    """The loss of pairs with its learned scale and bias.

    Args:
        scale: the first, what cosines are multiplied by.
        bias: the first.
    """

    def __init__(self, scale: float = 10.0, bias: float = -10.0) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale)))
        self.bias = nn.Parameter(torch.tensor(bias))

    coupling = Coupling("the captions of a batch are one another's negatives", 2)

    def forward(self, image: Float[Tensor, "b e"], text: Float[Tensor, "b e"]) -> Float[Tensor, ""]:
        """Loss of pairs: row i of both belongs together; both have unit length."""
        with torch.autocast(image.device.type, enabled=False):
            logits = self.log_scale.exp() * image.float() @ text.float().T + self.bias
        belongs = 2 * torch.eye(len(image), device=image.device) - 1
        return -functional.logsigmoid(belongs * logits).sum() / len(image)
