"""Finite scalar quantization: every channel rounded to few values, and no codebook (Mentzer et al., arXiv:2309.15505).

``z_q = round(f(z))`` per channel, ``f(z) = h tanh(z + s) - o`` with ``h = (1 + 1e-3) (L - 1) / 2``, ``o`` one half for
an even number of levels ``L`` and else 0, and ``s = atanh(o / h)``, so that f(0) = 0 (Section 3.1). The gradient passes
straight through the rounding; nothing is added to the loss. What the decoder reads is divided by ``L // 2``.

The paper's appendix has ``tan`` for ``atanh`` and a minus for the plus in h; this is what vector-quantize-pytorch has.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from limner.errors import InputError
from limner.tokenizers.quantizers.digits import capacity, compose, decompose
from limner.tokenizers.quantizers.quantizer import Bottleneck, Discrete, Features, usage
from limner.types import Ids, Rng

MARGIN = 1e-3  # by how much the outermost values lie within reach


class FiniteScalarQuantizer(Discrete):
    """As many values per channel as ``levels`` has for it, at least 3: (8, 5, 5, 5) makes 1000 ids.

    The paper's Table 1 has levels for usual sizes: (8, 6, 5) for 2^8, (8, 5, 5, 5) for 2^10, (7, 5, 5, 5, 5) for 2^12,
    (8, 8, 8, 6, 5) for 2^14, (8, 8, 8, 5, 5, 5) for 2^16.
    """

    middle: Tensor

    def __init__(self, levels: Sequence[int]) -> None:
        super().__init__()
        if min(levels) < 3:
            raise InputError(f"{min(levels)} levels were asked of a channel: give every channel at least 3")
        self.levels = tuple(levels)
        self.features = self.channels = len(levels)
        self.entries = capacity(levels)
        self.register_buffer("middle", torch.tensor([level // 2 for level in levels]), persistent=False)

    def bounded(self, z: Float[Tensor, "*t c"]) -> Float[Tensor, "*t c"]:
        """What is rounded, in fp32: between ``-(L // 2)`` and ``(L - 1) // 2``."""
        levels = torch.tensor(self.levels, device=z.device)
        reach = (levels - 1) * (1 + MARGIN) / 2
        offset = torch.where(levels % 2 == 0, 0.5, 0.0)
        return torch.tanh(z.float() + torch.atanh(offset / reach)) * reach - offset

    def forward(self, features: Features, rng: Rng) -> Bottleneck:
        z = self.bounded(rearrange(features, "b c h w -> b h w c"))
        rounded = z.round()
        latents = (z + (rounded - z).detach()) / self.middle
        ids = compose(rounded.detach().long() + self.middle, self.levels)
        return Bottleneck(rearrange(latents, "b h w c -> b c h w"), z.new_zeros(()), usage(ids, self.entries))

    def tokens(self, features: Features, rng: Rng | None = None) -> Ids:
        rounded = self.bounded(rearrange(features, "b c h w -> b (h w) c")).round()
        return compose(rounded.long() + self.middle, self.levels)

    def latents(self, tokens: Ids, height: int, width: int) -> Features:
        rows = (decompose(tokens, self.levels) - self.middle) / self.middle
        return rearrange(rows, "b (h w) c -> b c h w", h=height, w=width)
