"""The VQGAN of MaskGIT (Chang et al., arXiv:2202.04200, Section 3.1 and Appendix A): convolutions alone, 1024 codes.

As the VQGAN of Esser et al. (arXiv:2012.09841) without its attention: residual blocks with GroupNorm, halved by means
of 2x2 pixels and doubled by nearest-neighbour convolutions. Its pictures are in [0, 1]; ours are moved there and back.

Where a block changes the number of channels, the released weights apply the shortcut to the block's own output:
``y + shortcut(y)`` in place of ``y + shortcut(x)``. What enters such a block reaches the rest through ``y`` alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from limner.nn.convolution import channels_last
from limner.tokenizers.kl import Double, Resized, group_norm
from limner.tokenizers.quantizers.learned import LearnedCodebook
from limner.tokenizers.quantizers.quantizer import Features
from limner.tokenizers.tokenizer import GridCodec
from limner.types import Size

Unit = Float[Tensor, "b 3 height width"]  # a picture in [0, 1]


class MaskgitResidual(nn.Module):
    """``y + x`` with ``y = conv(silu(norm(conv(silu(norm(x))))))``; ``y + shortcut(y)`` where the channels change."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = group_norm(in_channels), nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
        self.norm2, self.conv2 = group_norm(channels), nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.shortcut = None if in_channels == channels else nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, x: Features) -> Resized:
        y = self.conv1(functional.silu(self.norm1(x), inplace=True))
        y = self.norm2(y)
        y = self.conv2(functional.silu(y, inplace=True))
        return y.add_(x) if self.shortcut is None else self.shortcut(y).add_(y)


class MaskgitLevel(nn.Module):
    """Residual blocks of one resolution, then a change of it."""

    def __init__(self, in_channels: int, channels: int, depth: int, resize: nn.Module) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(MaskgitResidual(channels if i else in_channels, channels) for i in range(depth))
        self.resize = resize

    def forward(self, x: Features) -> Resized:
        for block in self.blocks:
            x = block(x)
        return self.resize(x)


def middle(channels: int, depth: int) -> nn.Sequential:
    """The blocks at the coarsest resolution."""
    return nn.Sequential(*(MaskgitResidual(channels, channels) for _ in range(depth)))


class MaskgitEncoder(nn.Module):
    """Picture to features: ``widths`` channels per level, finest first, each level but the last half as large."""

    def __init__(self, widths: Sequence[int], width: int, depth: int, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, width, 3, padding=1, bias=False)
        before, last = [width, *widths], len(widths) - 1
        self.levels = nn.Sequential(
            *(
                MaskgitLevel(before[i], own, depth, nn.AvgPool2d(2) if i < last else nn.Identity())
                for i, own in enumerate(widths)
            )
        )
        self.middle = middle(widths[-1], depth)
        self.norm = group_norm(widths[-1])
        self.last = nn.Conv2d(widths[-1], channels, 1)

    def forward(self, image: Unit) -> Resized:
        x = self.middle(self.levels(self.first(image)))
        return self.last(functional.silu(self.norm(x)))


class MaskgitDecoder(nn.Module):
    """Latents to picture: the levels in reverse, of the same depth."""

    def __init__(self, widths: Sequence[int], depth: int, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, widths[-1], 3, padding=1)
        self.middle = middle(widths[-1], depth)
        above = [*widths[1:], widths[-1]]
        self.levels = nn.ModuleList(
            MaskgitLevel(above[i], own, depth, Double(own) if i else nn.Identity()) for i, own in enumerate(widths)
        )
        self.norm = group_norm(widths[0])
        self.last = nn.Conv2d(widths[0], 3, 3, padding=1)

    def forward(self, z: Features) -> Unit:
        x = self.middle(self.first(z))
        for level in reversed(self.levels):
            assert isinstance(level, MaskgitLevel)
            for layer in (*level.blocks, level.resize):  # a level run as a whole would keep what it was given
                x = layer(x)
        x = self.norm(x)
        return self.last(functional.silu(x, inplace=True))


class MaskgitVqgan(GridCodec):
    """A tokenizer of images to a grid of ids.

    Args:
        size: of an image in pixels, a side or height and width.
        width: channels of the first convolution, a multiple of 32.
        multipliers: of that width, per level, finest first; there is a cell per ``2 ** (levels - 1)`` pixels.
        channels: of a latent.
        entries: rows of the codebook.
        depth: residual blocks per level.
        pull: weight of the codebook's part of the penalty, whose other part, commitment, weighs 1: the official code
            puts the paper's beta there, on the other term than van den Oord et al.
    """

    def __init__(
        self,
        *,
        size: Size,
        width: int,
        multipliers: Sequence[int],
        channels: int,
        entries: int,
        depth: int = 2,
        pull: float = 0.25,
    ) -> None:
        widths = [width * multiplier for multiplier in multipliers]
        super().__init__(
            MaskgitEncoder(widths, width, depth, channels),
            LearnedCodebook(entries, channels, commitment=1.0, pull=pull),
            MaskgitDecoder(widths, depth, channels),
            size=size,
            stride=2 ** (len(multipliers) - 1),
            unit=True,
        )
        channels_last(self)
