"""InfoNCE: which of the batch's captions is this picture's, and which picture this caption's (CLIP, arXiv:2103.00020,
Section 2.3 and Figure 3).

    L = 1/2 [CE(s u v^T, i) + CE(s v u^T, i)],   |u_i| = |v_i| = 1,   s = exp(t) learned, at most 100

Every other pair of the batch is a negative, so what is learned depends on how many there are.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from limner.nn.whole_batch import Coupling


class InfoNce(nn.Module):
    """The symmetric loss and its learned temperature.

    Args:
        temperature: the first, 1 / s.
    """

    def __init__(self, temperature: float = 0.07) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(-math.log(temperature)))

    @property
    def scale(self) -> Float[Tensor, ""]:
        """What cosines are multiplied by."""
        return self.log_scale.clamp(max=math.log(100.0)).exp()

    coupling = Coupling("the captions of a batch are one another's negatives", 2)

    def forward(self, image: Float[Tensor, "b e"], text: Float[Tensor, "b e"]) -> Float[Tensor, ""]:
        """Loss of pairs: row i of both belongs together; both have unit length."""
        with torch.autocast(image.device.type, enabled=False):
            logits = self.scale * image.float() @ text.float().T
        pairs = torch.arange(len(image), device=image.device)
        return (functional.cross_entropy(logits, pairs) + functional.cross_entropy(logits.T, pairs)) / 2
