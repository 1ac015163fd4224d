"""A tokenizer that is trained: encoder, quantizer, decoder, whatever they are made of.

tokens = quantizer.tokens(encoder(picture))         picture = decoder(quantizer.latents(tokens))
"""

from __future__ import annotations

import copy
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from limner.errors import InputError
from limner.tokenizers.quantizers.quantizer import Bottleneck, Quantizer
from limner.types import Image, Layout, Rng, Tokenizer, Tokens

PIXELS = 2**16  # that a CPU paints at a time


@runtime_checkable
class QuantizingTokenizer(Tokenizer, Protocol):
    """What training a tokenizer, or a generator over it, needs to know of one."""

    @property
    def quantizer(self) -> Quantizer:
        """What makes tokens of features, see `limner.tokenizers.quantizers`."""

    @property
    def decoder(self) -> nn.Module:
        """Latents to picture."""

    def features(self, image: Image) -> Tensor:
        """What the quantizer reads of a picture."""

    def __call__(self, image: Image, rng: Rng) -> tuple[Image, Bottleneck]:
        """Reconstruction and bottleneck of a training batch."""


class Codec(nn.Module):
    """A tokenizer of square pictures: two halves around a bottleneck.

    Args:
        encoder: picture to features.
        quantizer: the bottleneck, see `limner.tokenizers.quantizers`.
        decoder: latents to picture.
        size: height and width of a picture in pixels.
        layout: grids of its tokens; where there are several, the first few make a picture too.
        unit: both halves work on pictures in [0, 1], and ours, in [-1, 1], are moved there and back.
    """

    def __init__(
        self,
        encoder: nn.Module,
        quantizer: Quantizer,
        decoder: nn.Module,
        *,
        size: int,
        layout: Layout,
        unit: bool = False,
    ) -> None:
        super().__init__()
        self.size, self.layout, self.unit = size, layout, unit
        self.encoder, self.quantizer, self.decoder = encoder, quantizer, decoder

    def features(self, image: Image) -> Tensor:
        """What the bottleneck reads, ``[b c h w]``; raises `InputError` for pictures of another size."""
        if image.shape[-2:] != (self.size, self.size):
            given = "x".join(str(edge) for edge in image.shape[-2:])
            raise InputError(f"picture is {given} pixels, but this tokenizer reads {self.size}x{self.size}: resize it")
        return self.encoder(0.5 * image + 0.5 if self.unit else image)

    def forward(self, image: Image, rng: Rng) -> tuple[Image, Bottleneck]:
        """Reconstruction, not clipped, and bottleneck of a training batch."""
        bottleneck = self.quantizer(self.features(image), rng)
        return self._shown(self.decoder(bottleneck.latents)), bottleneck

    def encode(self, image: Image, rng: Rng | None = None) -> Tokens:
        """Tokens, grid after grid, each in raster order: ids ``[b n]``, or latents ``[b n c]`` of unit variance.
        ``rng`` draws from the posterior of a VAE; without it the mean is taken."""
        return self.quantizer.tokens(self.features(image), rng)

    def decode(self, tokens: Tokens) -> Image:
        """The picture of these tokens, in [-1, 1]; raises `InputError` unless they fill the grids, or the first few.

        A CPU paints large pictures one by one: the maps between its layers take more memory than all that drew the
        tokens, and one picture keeps all of its cores busy.
        """
        filled(self.layout, tokens)
        together = PIXELS // self.size**2 if tokens.device.type == "cpu" else len(tokens)
        return torch.cat([self._picture(part) for part in tokens.split(max(together, 1))])

    def _picture(self, tokens: Tokens) -> Image:
        latents = self.quantizer.latents(tokens, *self.layout.grids[-1])
        return self._shown(paint(self.decoder, latents)).clamp(-1.0, 1.0)

    def _shown(self, picture: Image) -> Image:
        return 2.0 * picture - 1.0 if self.unit else picture


class GridCodec(Codec):
    """A codec with one token per square cell of pixels, which may read pictures of any size.

    Args:
        stride: pixels on a side of a cell; raises `InputError` if it does not divide ``size``.
        encoder, quantizer, decoder, size, unit: see `Codec`.
    """

    def __init__(
        self,
        encoder: nn.Module,
        quantizer: Quantizer,
        decoder: nn.Module,
        *,
        size: int,
        stride: int,
        unit: bool = False,
    ) -> None:
        super().__init__(encoder, quantizer, decoder, size=size, layout=cells(size, stride), unit=unit)
        self.stride = stride

    @property
    def grid(self) -> int:
        """Cells on a side."""
        return self.layout.grids[0][0]

    def at(self, size: int) -> GridCodec:
        """The same weights for square pictures of another size, in cells as large as before."""
        other = copy.copy(self)
        other.size, other.layout = size, cells(size, self.stride)
        return other


def cells(size: int, stride: int) -> Layout:
    """The one grid of a picture of ``size`` pixels; raises `InputError` if it does not divide into cells."""
    if size % stride:
        raise InputError(f"size {size} does not divide into cells of {stride} pixels: use a multiple of {stride}")
    return Layout(((size // stride, size // stride),))


def filled(layout: Layout, tokens: Tokens) -> int:
    """Index of the last grid that these tokens fill; raises `InputError` if there are too few or too many."""
    *fewer, all_of_them = layout.ends
    if tokens.shape[1] not in layout.ends:
        also = f": give those, or the first {', '.join(map(str, fewer))}" if fewer else ""
        raise InputError(f"{tokens.shape[1]} tokens given, but this tokenizer's grid holds {all_of_them}{also}")
    return layout.ends.index(tokens.shape[1])


def paint(decoder: nn.Module, latents: Tensor) -> Tensor:
    """The picture of latents, computed in the precision of the decoder's weights; a codebook may keep its own."""
    return decoder(latents.to(next(decoder.parameters()).dtype)).float()
