"""A tokenizer of pictures into pyramids: any encoder and decoder around `MultiScaleQuantizer` (VAR, arXiv:2404.02905).

encode:  picture -> features -> ids of the 1st scale, of the 2nd ...
decode:  ids of the first k scales -> their sum -> picture;   fewer scales give a coarser picture
"""

from __future__ import annotations

from torch import nn

from limner.tokenizers.quantizers.multiscale import MultiScaleQuantizer
from limner.tokenizers.tokenizer import Codec
from limner.types import Size


class ScaleAutoencoder(Codec):
    """A tokenizer of images.

    Args:
        encoder: picture to features, of the size of the quantizer's last scale.
        quantizer: features to the pyramid of codes.
        decoder: features to picture.
        size: of an image in pixels, a side or height and width.
    """

    quantizer: MultiScaleQuantizer

    def __init__(self, encoder: nn.Module, quantizer: MultiScaleQuantizer, decoder: nn.Module, *, size: Size) -> None:
        super().__init__(encoder, quantizer, decoder, size=size, layout=quantizer.layout)
