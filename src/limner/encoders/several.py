"""Patches of several layers side by side, the last layer's last: fine detail for connectors that read it.

    f = [x_l1, x_l2, .., x_L]         states after layers l1 < l2 < .. < L, each normalised as the last is

(TokenPacker, arXiv:2407.02392, Section 3.2; DenseConnector, arXiv:2405.13800.)
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from limner.encoders.fusing import Blocked
from limner.errors import InputError
from limner.nn.blocks import Context, hooked
from limner.types import Image, Patches


class SeveralLayers(nn.Module):
    """A `limner.encoders.encoder.VisionEncoder` around another.

    Args:
        encoder: whose layers they are.
        layers: after which, counted from 1, states are read beside the encoder's own.
    """

    def __init__(self, encoder: Blocked, layers: Sequence[int]) -> None:
        super().__init__()
        depth = len(encoder.blocks)
        if not layers or not all(1 <= layer < depth for layer in layers):
            raise InputError(f"layers {list(layers)} are none of 1 to {depth - 1}: choose layers before the last")
        self.encoder, self.layers = encoder, tuple(layers)
        self.size, self.width = encoder.size, encoder.width * (len(layers) + 1)

    def forward(self, image: Image) -> Patches:
        """The encoder's patches, their vectors behind those of earlier layers."""
        states: list[Tensor] = []

        def read(layer: int, x: Tensor, context: Context) -> tuple[Tensor, Context]:
            if layer in self.layers:
                states.append(self.encoder.norm(x)[:, self.encoder.before :])
            return x, context

        with hooked(self.encoder.blocks, read):
            patches = self.encoder(image)
        return patches._replace(vectors=torch.cat([*states, patches.vectors], -1))
