"""An image as codes on any grid, each by itself (FlexVAR, Jiao et al., arXiv:2502.20313, Section 3.2).

    ids_n = nearest rows of  area(f -> n x n),     image_n = decoder(rows(ids_n))

A grid is no residual of coarser ones, as it is in VAR: the features shrunk to it are quantized, and its rows alone make
the image. So the decoder must do with features of every grid, and training gives it the finest for half the batches,
else one of the others, as likely each.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from limner.tokenizers.quantizers.quantizer import Bottleneck, Discrete, Features
from limner.tokenizers.tokenizer import Codec, filled
from limner.types import Ids, Latents, Layout, Rng, Size

FINEST = 0.5  # share of training batches on the finest grid


def all_sides(side: int) -> Layout:
    """1x1, 2x2 .. ``side x side``."""
    return Layout(tuple((edge, edge) for edge in range(1, side + 1)))


class FreeScaleQuantizer(Discrete):
    """Ids of all grids of a layout, from coarse to fine, of one codebook.

    Args:
        whole: the codebook.
        layout: grids from coarse to fine.
    """

    def __init__(self, whole: Discrete, layout: Layout) -> None:
        super().__init__()
        self.whole, self.layout = whole, layout
        self.features, self.channels, self.entries = whole.features, whole.channels, whole.entries

    def at(self, features: Features, scale: int, rng: Rng) -> Bottleneck:
        """What training on one grid hands the decoder."""
        shrunk = functional.interpolate(features, size=self.layout.grids[scale], mode="area")
        found: Bottleneck = self.whole(shrunk, rng)
        return found

    def forward(self, features: Features, rng: Rng) -> Bottleneck:
        last, chances = len(self.layout.grids) - 1, rng.along(None).uniform(2).tolist()
        coarse = chances[0] >= FINEST and last > 0
        return self.at(features, int(chances[1] * last) if coarse else last, rng)

    def tokens(self, features: Features, rng: Rng | None = None) -> Ids:
        shrunk = (functional.interpolate(features, size=size, mode="area") for size in self.layout.grids)
        return torch.cat([self.whole.tokens(part) for part in shrunk], dim=1)

    def rows(self, tokens: Ids) -> Latents:
        """The row of each id."""
        return rearrange(self.whole.latents(tokens, 1, tokens.shape[1]), "b c 1 n -> b n c")

    def latents(self, tokens: Ids, height: int, width: int) -> Features:
        """Rows of the last grid that ``tokens`` fill."""
        scale = filled(self.layout, tokens)
        return self.whole.latents(tokens[:, -self.layout.lengths[scale] :], *self.layout.grids[scale])


class AtSize(nn.Module):
    """A decoder of any grid whose images all have one size: those of coarser grids are enlarged, between their pixels
    cubically."""

    def __init__(self, decoder: nn.Module, size: tuple[int, int]) -> None:
        super().__init__()
        self.decoder, self.size = decoder, size

    def forward(self, latents: Features) -> Tensor:
        image: Tensor = self.decoder(latents)
        return image if image.shape[-2:] == self.size else functional.interpolate(image, self.size, mode="bicubic")


class FreeScaleTokenizer(Codec):
    """A tokenizer of images on all grids of a layout; any first few make an image, of which the last alone counts."""

    quantizer: FreeScaleQuantizer

    def __init__(
        self, encoder: nn.Module, codebook: Discrete, decoder: nn.Module, *, size: Size, layout: Layout
    ) -> None:
        height, width = size if isinstance(size, tuple) else (size, size)
        quantizer = FreeScaleQuantizer(codebook, layout)
        super().__init__(encoder, quantizer, AtSize(decoder, (height, width)), size=size, layout=layout)
