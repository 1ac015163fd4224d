"""A tokenizer that is trained: encoder, quantizer, decoder, whatever they are made of.

tokens = quantizer.tokens(encoder(image))         image = decoder(quantizer.latents(tokens))
"""

from __future__ import annotations

import copy
import math
from math import prod
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from limner.data.images import extent
from limner.data.preprocess import Pictures, prepared
from limner.errors import InputError
from limner.tokenizers.quantizers.quantizer import Bottleneck, Discrete, Quantizer
from limner.types import Image, Layout, Rng, Size, Tokenizer, Tokens

Metrics: TypeAlias = dict[str, Tensor | float]
PIXELS = 2**16  # that a CPU decodes at a time


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


@runtime_checkable
class Objective(Protocol):
    """The loss of a tokenizer: reconstruction, flow, another tokenizer's codes."""

    def __call__(self, model: Any, image: Image, rng: Rng) -> tuple[Tensor, Metrics]:
        """Loss of a batch, a scalar, and named parts of it for the log."""


class Codec(nn.Module):
    """A tokenizer of two halves around a bottleneck.

    Args:
        encoder: image to features.
        quantizer: the bottleneck, see `limner.tokenizers.quantizers`.
        decoder: latents to image.
        size: of an image in pixels, a side or height and width.
        layout: grids of its tokens; where there are several, the first few make an image too.
        unit: both halves work on images in [0, 1], and ours, in [-1, 1], are moved there and back.
    """

    stride: int = 0
    """Pixels on a side of a cell, if images of every multiple of it are read; 0: those of ``size`` alone."""

    def __init__(
        self,
        encoder: nn.Module,
        quantizer: Quantizer,
        decoder: nn.Module,
        *,
        size: Size,
        layout: Layout,
        unit: bool = False,
    ) -> None:
        super().__init__()
        self.size, self.layout, self.unit = size, layout, unit
        self.encoder, self.quantizer, self.decoder = encoder, quantizer, decoder

    def features(self, image: Image) -> Tensor:
        """What the bottleneck reads, ``[b c h w]``; raises `InputError` for images of a size that it cannot read."""
        height, width = image.shape[-2:]
        if not self.stride and (height, width) != extent(self.size):
            own = "x".join(map(str, extent(self.size)))
            raise InputError(f"image is {height}x{width} pixels, but this tokenizer reads {own}: resize it")
        if self.stride and (height % self.stride or width % self.stride):
            raise InputError(
                f"image is {height}x{width} pixels, which do not divide into cells of {self.stride}: resize it"
            )
        return self.encoder(0.5 * image + 0.5 if self.unit else image)

    def forward(self, image: Image, rng: Rng) -> tuple[Image, Bottleneck]:
        """Reconstruction, not clipped, and bottleneck of a training batch."""
        bottleneck = self.quantizer(self.features(image), rng)
        return self._signed(self.decoder(bottleneck.latents)), bottleneck

    def encode(self, image: Pictures, rng: Rng | None = None) -> Tokens:
        """Tokens of one picture or several, grid after grid, each in raster order: ids ``[b n]``, or latents
        ``[b n c]`` of unit variance. ``rng`` draws from the posterior of a VAE; without it the mean is taken.

        Pictures are what `limner.data.preprocess` takes for such, cut to ``size``; a tensor of floats in [-1, 1] keeps
        its own."""
        return self.quantizer.tokens(self.features(prepared(image, self, self.size)), rng)

    def decode(self, tokens: Any, rng: Rng | None = None, steps: int | None = None) -> Image:
        """The image of these tokens, in [-1, 1]; raises `InputError` unless they fill the grids, or the first few, and
        for what `received` refuses.
        Nothing is sampled: ``rng`` and ``steps`` have no effect.

        A CPU decodes large images one by one: the maps between its layers take more memory than all that drew the
        tokens, and one image keeps all of its cores busy.
        """
        tokens = received(tokens, self, self.quantizer)
        filled(self.layout, tokens)
        together = PIXELS // prod(extent(self.size)) if tokens.device.type == "cpu" else len(tokens)
        return torch.cat([self._image(part) for part in tokens.split(max(together, 1))])

    def _image(self, tokens: Tokens) -> Image:
        grid = self.layout.grids[-1]
        height, width = (1, tokens.shape[1]) if len(grid) == 1 else grid  # a line of latents has one row
        latents = self.quantizer.latents(tokens, height, width)
        return self._signed(paint(self.decoder, latents)).clamp(-1.0, 1.0)

    def _signed(self, image: Image) -> Image:
        return 2.0 * image - 1.0 if self.unit else image


class GridCodec(Codec):
    """A codec with one token per square cell of pixels. It encodes images of every size that divides into cells; ``at``
    that size it decodes them too.

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
        size: Size,
        stride: int,
        unit: bool = False,
    ) -> None:
        super().__init__(encoder, quantizer, decoder, size=size, layout=cells(size, stride), unit=unit)
        self.stride = stride

    def at(self, size: Size) -> GridCodec:
        """The same weights for images of another size, in cells as large as before."""
        other = copy.copy(self)
        other.size, other.layout = size, cells(size, self.stride)
        return other


def cells(size: Size, stride: int) -> Layout:
    """The one grid of an image of ``size`` pixels; raises `InputError` if it does not divide into cells."""
    height, width = extent(size)
    if height % stride or width % stride:
        written = size if isinstance(size, int) else f"{height}x{width}"
        raise InputError(f"size {written} does not divide into cells of {stride} pixels: use a multiple of {stride}")
    return Layout(((height // stride, width // stride),))


def received(tokens: Any, model: nn.Module, quantizer: Quantizer) -> Tokens:
    """Tokens that somebody gives: a tensor, an array or lists of numbers, on the device of the model.

    Raises `InputError` unless they are ids that the quantizer has, ``[b n]``, or finite latents ``[b n c]`` of its
    channels, by which a codebook may be asked for mixtures too.
    """
    try:
        given = tokens if isinstance(tokens, Tensor) else torch.as_tensor(np.asarray(tokens))
    except (TypeError, ValueError, RuntimeError):
        raise InputError(
            f"a {type(tokens).__name__} holds no tokens: give what encode gave, or an array of it"
        ) from None
    shape, ids = list(given.shape), not given.is_floating_point() and not given.is_complex()
    if (ids and not quantizer.discrete) or given.ndim != (2 if ids else 3) or given.is_complex():
        kind = "ids [b n], whole numbers" if quantizer.discrete else f"latents [b n {quantizer.channels}]"
        raise InputError(f"{shape} of {str(given.dtype)[6:]} are no tokens of this tokenizer: give {kind}")
    if not given.numel():
        return given
    low, high = (end.item() for end in given.detach().aminmax())
    if isinstance(quantizer, Discrete) and ids and not 0 <= low <= high < quantizer.entries:
        raise InputError(f"ids go from {low} to {high}, but this tokenizer has 0 to {quantizer.entries - 1}")
    if not ids and not (math.isfinite(low) and math.isfinite(high)):
        raise InputError("latents hold numbers that are not finite: give what encode gave")
    if not ids and shape[2] != quantizer.channels:
        raise InputError(f"latents have {shape[2]} channels, but this tokenizer's have {quantizer.channels}")
    return given.to(next(model.parameters()).device)


def filled(layout: Layout, tokens: Tokens) -> int:
    """Index of the last grid that these tokens fill, or of a nested layout begin to; raises `InputError` if there are
    too few or too many."""
    count, (*fewer, all_of_them) = tokens.shape[1], layout.ends
    if layout.nested and 0 < count <= all_of_them:
        return next(index for index, end in enumerate(layout.ends) if count <= end)
    if count not in layout.ends:
        also = f": give those, or the first {', '.join(map(str, fewer))}" if fewer else ""
        also = f": give 1 to {all_of_them}" if layout.nested else also
        raise InputError(f"{count} tokens given, but this tokenizer's grid holds {all_of_them}{also}")
    return layout.ends.index(count)


def paint(decoder: nn.Module, latents: Tensor) -> Tensor:
    """The image of latents, computed in the precision of the decoder's weights; a codebook may keep its own."""
    return decoder(latents.to(next(decoder.parameters()).dtype)).float()
