"""VQGAN: the blocks of latent diffusion's autoencoder around a codebook (Esser et al., arXiv:2012.09841, Section 3.1).

    picture -> encoder -> quantizer -> decoder -> picture

LlamaGen's tokenizers (arXiv:2406.06525) are two of these, of 16 and of 8 pixels per token, with a codebook of 16384
directions of 8 numbers. Both halves attend over all cells in the middle and at chosen levels.
"""

from __future__ import annotations

from collections.abc import Sequence

from limner.nn.convolution import channels_last
from limner.tokenizers.kl import KlDecoder, KlEncoder
from limner.tokenizers.quantizers.quantizer import Quantizer
from limner.tokenizers.tokenizer import GridCodec
from limner.types import Size


class Vqgan(GridCodec):
    """A tokenizer of images.

    Args:
        quantizer: the bottleneck.
        size: of an image in pixels, a side or height and width.
        width: channels of the finest level, a multiple of 32.
        multipliers: of that width, per level, finest first; there is a cell per ``2 ** (levels - 1)`` pixels.
        hidden: channels between the bottleneck and either half.
        depth: residual blocks per level of the encoder; the decoder has one more.
        attention: levels with attention, 0 the finest.
    """

    def __init__(
        self,
        quantizer: Quantizer,
        *,
        size: Size,
        width: int,
        multipliers: Sequence[int],
        hidden: int,
        depth: int = 2,
        attention: Sequence[int] = (),
    ) -> None:
        widths = [width * multiplier for multiplier in multipliers]
        super().__init__(
            KlEncoder(width, widths, depth, quantizer.features, attention, hidden=hidden),
            quantizer,
            KlDecoder(widths, depth, quantizer.channels, attention, hidden=hidden),
            size=size,
            stride=2 ** (len(multipliers) - 1),
        )
        channels_last(self)
