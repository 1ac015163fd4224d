"""The latents of any tokenizer as a pyramid: each scale twice as large as the one before (Ren et al., FlowAR,
arXiv:2412.15205, "simple scale design").

    s_n = z,   s_i = area mean of z on h_i x w_i,   1x1, 2x2, 4x4 ... h x w

Nothing is learned and nothing quantized: a scale is a smaller copy of the latents, no residual of the coarser ones, and
the last alone is the picture. A generator of scale i reads s_(i-1), enlarged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from limner.data.preprocess import Pictures, prepared
from limner.errors import InputError
from limner.tokenizers.quantizers.quantizer import Bottleneck, Features, Quantizer
from limner.tokenizers.tokenizer import QuantizingTokenizer, filled, received
from limner.types import Image, Latents, Layout, Rng


def doubling(grid: Sequence[int]) -> Layout:
    """1x1, 2x2, 4x4 ... up to this square; raises `InputError` if doubling does not lead there."""
    rows, columns = (1, *grid)[-2:]
    if rows != columns or rows & (rows - 1):
        raise InputError(f"no doubling of 1x1 makes {rows}x{columns}: choose a tokenizer of 4x4, 8x8 or 16x16 latents")
    return Layout(tuple((side, side) for side in (2**power for power in range(rows.bit_length()))))


def grid(tokens: Latents, size: Sequence[int]) -> Features:
    """Tokens of one scale where they lie."""
    return rearrange(tokens, "b (h w) c -> b c h w", h=size[0])


class Pyramid(nn.Module):
    """A bottleneck whose tokens are those of another, of all scales.

    Args:
        whole: makes the latents, which must be continuous.
        layout: grids from coarse to fine; the last is that of the latents.
    """

    discrete = False

    def __init__(self, whole: Quantizer, layout: Layout) -> None:
        super().__init__()
        self.whole, self.layout = whole, layout
        self.features, self.channels = whole.features, whole.channels

    def forward(self, features: Features, rng: Rng) -> Bottleneck:
        """The whole's own: a pyramid changes nothing of how it is trained."""
        return self.whole(features, rng)

    def shrunk(self, latents: Latents) -> Float[Tensor, "b m c"]:
        """The pyramid of these latents, scale after scale."""
        whole = grid(latents, self.layout.grids[-1])
        scales = [functional.interpolate(whole, size=size, mode="area").flatten(2).mT for size in self.layout.grids]
        return torch.cat(scales, dim=1)

    def finest(self, tokens: Latents) -> Float[Tensor, "b m c"]:
        """The latents that a pyramid, or its first few scales, stands for: the last scale given, enlarged."""
        scale = filled(self.layout, tokens)
        return self.enlarged(tokens[:, -self.layout.lengths[scale] :], scale, len(self.layout.grids) - 1)

    def enlarged(self, tokens: Latents, scale: int, target: int) -> Float[Tensor, "b m c"]:
        """The tokens of one scale on the grid of another."""
        if scale == target:
            return tokens
        size = self.layout.grids[target]
        return functional.interpolate(grid(tokens, self.layout.grids[scale]), size=size, mode="bicubic").flatten(2).mT

    def scale_inputs(self, tokens: Latents) -> Float[Tensor, "b n c"]:
        """What a generator reads at each position: the scale before, enlarged; zeros in the first. Reads no token of
        the last."""
        parts = tokens.split(self.layout.lengths, dim=1)
        inputs = [torch.zeros_like(parts[0])]
        return torch.cat([*inputs, *(self.enlarged(part, i, i + 1) for i, part in enumerate(parts[:-1]))], dim=1)

    def tokens(self, features: Features, rng: Rng | None = None) -> Float[Tensor, "b m e"]:
        return self.shrunk(self.whole.tokens(features, rng))

    def keep(self, features: Features) -> dict[str, Tensor]:
        return self.whole.keep(features)

    def draw(self, kept: dict[str, Tensor], rng: Rng) -> Latents:
        return self.shrunk(self.whole.draw(kept, rng))

    def latents(self, tokens: Latents, height: int, width: int) -> Features:
        return self.whole.latents(self.finest(tokens), height, width)


class PyramidTokenizer(nn.Module):
    """A tokenizer of continuous latents, read and drawn as a pyramid.

    Args:
        base: the tokenizer, whose weights stay as they are; of one square grid.
    """

    def __init__(self, base: QuantizingTokenizer) -> None:
        super().__init__()
        self.base, self.size, self.layout = base, base.size, doubling(base.layout.grids[-1])
        self.quantizer = Pyramid(base.quantizer, self.layout)

    @property
    def decoder(self) -> nn.Module:
        """The base's."""
        return self.base.decoder

    def features(self, image: Image) -> Tensor:
        """The base's, before the bottleneck."""
        return self.base.features(image)

    def forward(self, image: Image, rng: Rng) -> tuple[Image, Bottleneck]:
        """The base's reconstruction and bottleneck."""
        return self.base(image, rng)

    def encode(self, image: Pictures, rng: Rng | None = None) -> Latents:
        """Latents, scale after scale, each in raster order; pictures as those of `Codec.encode`."""
        return self.quantizer.tokens(self.features(prepared(image, self, self.size)), rng)

    def decode(self, tokens: Any, rng: Rng | None = None, steps: int | None = None) -> Image:
        """The image, in [-1, 1], of the last scale, or of the last of the first few."""
        tokens = received(tokens, self, self.quantizer)
        return self.base.decode(self.quantizer.finest(tokens), rng, steps)
