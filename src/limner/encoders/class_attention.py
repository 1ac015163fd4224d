"""How much the class token attends to each patch, as the patches' weight (VTC-CLS, arXiv:2412.05819, Section 3).

    weight_j = sum over layers l, start <= l < L - 1, of  mean over heads of  A_l[class, j]

The last of the ``L`` layers is left out, as in the authors' code. In an encoder without a class token the mean over all
patches stands in for it: how much attention a patch receives (VisionZip, arXiv:2412.04467, Section 3.2, on SigLIP).
"""

from __future__ import annotations

from typing import Protocol, cast, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from limner.encoders.encoder import VisionEncoder
from limner.errors import InputError
from limner.nn.blocks import Block, Context, Stack, hooked
from limner.nn.transformer import Sequence
from limner.types import Image, Patches

Received = Float[Tensor, "b layers n"]


@runtime_checkable
class Attentive(VisionEncoder, Protocol):
    """A vision encoder whose attention can be read."""

    def attended(self, image: Image) -> tuple[Patches, Received]:
        """The patches of an image, and how much attention each receives in every layer: of the class token, or without
        one of all patches in the mean; mean over heads."""


def attended(encoder: VisionEncoder, blocks: Stack, before: int, image: Image) -> tuple[Patches, Received]:
    """`Attentive.attended` of an encoder with these blocks and ``before`` tokens, the class token first, before the
    patches."""
    maps: list[Float[Tensor, "b n"]] = []

    def read(layer: int, x: Sequence, context: Context) -> tuple[Sequence, Context]:
        weights = cast(Block, blocks[layer]).weights(x, context, layer, slice(0, 1 if before else None))
        maps.append(weights.mean((1, 2))[:, before:])
        return x, context

    with hooked(blocks, read):
        patches = encoder(image)
    return patches, torch.stack(maps, 1)


def class_weight(received: Received, start: int = 0) -> Float[Tensor, "b n"]:
    """Attention received from layer ``start`` (negative: from the end) to the last but one, summed; raises
    `InputError` if there is no such layer."""
    layers = received[:, start:-1]
    if not layers.shape[1]:
        raise InputError(
            f"an encoder of {received.shape[1]} layers has none from layer {start} to the last but one: choose another "
            "start, or an encoder of 2 layers or more"
        )
    return layers.sum(1)


class ClassWeighted(nn.Module):
    """A `VisionEncoder` whose patches weigh what the class token attends to them.

    Args:
        encoder: whose patches they are.
        start: first layer whose attention counts; negative counts from the end.
    """

    def __init__(self, encoder: Attentive, start: int = 0) -> None:
        super().__init__()
        self.encoder, self.start = encoder, start

    @property
    def size(self) -> int:
        """Pixels on a side of the images that the encoder was trained on."""
        return self.encoder.size

    @property
    def width(self) -> int:
        """Channels of a patch."""
        return self.encoder.width

    def forward(self, image: Image) -> Patches:
        """The encoder's patches, with their weight; raises `InputError` as `class_weight` does."""
        patches, received = self.encoder.attended(image)
        return patches._replace(weight=class_weight(received, self.start))
