"""The one convolutional autoencoder: encoder, quantizer, decoder. The quantizer makes it an AE, a VAE or a VQ-VAE.

A picture is unshuffled to half its size at once, then halved per further level: ``widths`` has one entry per level,
finest first, and the token grid is ``size / 2 ** len(widths)``.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from limner.nn.convolution import ChannelNorm, Downsample, ResidualBlock, Upsample, channels_last
from limner.tokenizers.quantizers.quantizer import Quantizer
from limner.tokenizers.tokenizer import GridCodec
from limner.types import Size


def encoder(widths: Sequence[int], depths: Sequence[int], features: int) -> nn.Sequential:
    """Picture to features: at each level ``depths[i]`` residual blocks of ``widths[i]`` channels."""
    layers: list[nn.Module] = [nn.PixelUnshuffle(2), nn.Conv2d(12, widths[0], 3, padding=1)]
    for level, (width, depth) in enumerate(zip(widths, depths, strict=True)):
        if level:
            layers.append(Downsample(widths[level - 1], width))
        layers += [ResidualBlock(width) for _ in range(depth)]
    return nn.Sequential(*layers, ChannelNorm(widths[-1]), nn.SiLU(), nn.Conv2d(widths[-1], features, 1))


def decoder(widths: Sequence[int], depths: Sequence[int], channels: int) -> nn.Sequential:
    """Latents to picture: the encoder's levels in reverse."""
    layers: list[nn.Module] = [nn.Conv2d(channels, widths[-1], 3, padding=1)]
    for level in reversed(range(len(widths))):
        layers += [ResidualBlock(widths[level]) for _ in range(depths[level])]
        if level:
            layers.append(Upsample(widths[level], widths[level - 1]))
    last = nn.Conv2d(widths[0], 12, 3, padding=1)
    return nn.Sequential(*layers, ChannelNorm(widths[0]), nn.SiLU(), last, nn.PixelShuffle(2))


class Autoencoder(GridCodec):
    """A tokenizer of images.

    Args:
        quantizer: the bottleneck, see `limner.tokenizers.quantizers`.
        size: of an image in pixels, a side or height and width.
        widths: channels per level, finest first.
        encoder_depths, decoder_depths: residual blocks per level, finest first.
    """

    def __init__(
        self,
        quantizer: Quantizer,
        *,
        size: Size,
        widths: Sequence[int],
        encoder_depths: Sequence[int],
        decoder_depths: Sequence[int],
    ) -> None:
        super().__init__(
            encoder(widths, encoder_depths, quantizer.features),
            quantizer,
            decoder(widths, decoder_depths, quantizer.channels),
            size=size,
            stride=2 ** len(widths),
        )
        channels_last(self)
