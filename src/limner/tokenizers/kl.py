"""The autoencoder of latent diffusion (Rombach et al., arXiv:2112.10752, Appendix G), which MAR draws with as KL-16.

Residual blocks with GroupNorm, halved by strided and doubled by nearest-neighbour convolutions; attention over all
cells in the middle of both halves, and at chosen levels of the encoder. It is slower than `Autoencoder`, and is here
for the weights that others have trained.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from limner.errors import InputError
from limner.nn.transformer import attend
from limner.tokenizers.quantizers.continuous import Gaussian
from limner.tokenizers.quantizers.quantizer import Features
from limner.tokenizers.tokenizer import GridCodec
from limner.types import Image, Size

Resized = Float[Tensor, "b c2 h2 w2"]
GROUPS = 32  # of every GroupNorm


def group_norm(channels: int, groups: int = GROUPS) -> nn.GroupNorm:
    """Normalisation of groups of channels over the whole picture; raises `InputError` if they do not divide."""
    if channels % groups:
        raise InputError(f"width {channels} does not divide into {groups} groups: use a multiple of {groups}")
    return nn.GroupNorm(groups, channels, eps=1e-6)


class KlResidual(nn.Module):
    """``x + conv(silu(norm(conv(silu(norm(x))))))``, with a 1x1 convolution beside it where the channels change."""

    def __init__(self, in_channels: int, channels: int, groups: int = GROUPS) -> None:
        super().__init__()
        self.norm1, self.conv1 = group_norm(in_channels, groups), nn.Conv2d(in_channels, channels, 3, padding=1)
        self.norm2, self.conv2 = group_norm(channels, groups), nn.Conv2d(channels, channels, 3, padding=1)
        self.shortcut = nn.Identity() if in_channels == channels else nn.Conv2d(in_channels, channels, 1)

    def forward(self, x: Features) -> Resized:
        y = self.conv1(functional.silu(self.norm1(x), inplace=True))
        y = self.norm2(y)
        return self.conv2(functional.silu(y, inplace=True)).add_(self.shortcut(x))


class CellAttention(nn.Module):
    """Every cell attends to every cell, with one head."""

    def __init__(self, channels: int, groups: int = GROUPS) -> None:
        super().__init__()
        self.norm = group_norm(channels, groups)
        self.query, self.key, self.value, self.output = (nn.Conv2d(channels, channels, 1) for _ in range(4))

    def forward(self, x: Features) -> Resized:
        y = self.norm(x)
        query, key, value = (rearrange(f(y), "b c h w -> b 1 (h w) c") for f in (self.query, self.key, self.value))
        mixed = rearrange(attend(query, key, value), "b 1 (h w) c -> b c h w", h=x.shape[2])
        return x + self.output(mixed)


class Halve(nn.Module):
    """A convolution of stride 2 that reads one pixel beyond the right and lower edges."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Features) -> Resized:
        return self.conv(functional.pad(x, (0, 1, 0, 1)))


class Double(nn.Module):
    """Each pixel four times, then a convolution.

    Neighbours made of one pixel meet two columns, or rows, of the kernel: their sum does for both. So each pixel of the
    four takes a kernel of 2x2 on the small picture, and the work is 4/9 of that on the large one.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Features) -> Resized:
        height, width = x.shape[2:]
        quarters = [
            functional.conv2d(x, kernel, self.conv.bias, padding=1)[:, :, row : row + height, column : column + width]
            for row, rows in enumerate(_of_each_half(self.conv.weight, 2))
            for column, kernel in enumerate(_of_each_half(rows, 3))
        ]
        last = x.is_contiguous(memory_format=torch.channels_last)
        doubled = torch.empty(
            (*quarters[0].shape[:2], 2 * height, 2 * width),
            dtype=quarters[0].dtype,
            device=x.device,
            memory_format=torch.channels_last if last else torch.contiguous_format,
        )
        for place, quarter in enumerate(quarters):
            doubled[:, :, place // 2 :: 2, place % 2 :: 2] = quarter
        return doubled


def _of_each_half(kernel: Float[Tensor, "c2 c rows columns"], dim: int) -> tuple[Tensor, Tensor]:
    """What the first and the second of two equal neighbours meet of three rows (``dim`` 2) or columns (3)."""
    before, at, after = kernel.unbind(dim)
    return torch.stack([before, at + after], dim), torch.stack([before + at, after], dim)


class KlLevel(nn.Module):
    """What happens at one resolution: residual blocks, each followed by attention or not, then a change of size."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        depth: int,
        *,
        attention: bool = False,
        resize: nn.Module | None = None,
        groups: int = GROUPS,
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(KlResidual(channels if i else in_channels, channels, groups) for i in range(depth))
        self.attentions = nn.ModuleList(CellAttention(channels, groups) for _ in range(depth if attention else 0))
        self.resize = resize or nn.Identity()

    def __iter__(self) -> Iterator[nn.Module]:
        for index, block in enumerate(self.blocks):
            yield block
            if len(self.attentions):
                yield self.attentions[index]
        yield self.resize


def layers(levels: Iterable[nn.Module]) -> Iterator[nn.Module]:
    """Those of all levels in turn. Who runs them one by one holds what the next one reads and no more, where a level
    run as a whole would keep what it was given: of large pictures every map counts."""
    for level in levels:
        assert isinstance(level, KlLevel)
        yield from level


def middle(channels: int, groups: int = GROUPS) -> nn.Sequential:
    """The blocks between the two halves' levels and the latents."""
    return nn.Sequential(
        KlResidual(channels, channels, groups), CellAttention(channels, groups), KlResidual(channels, channels, groups)
    )


class KlTrunk(nn.Module):
    """Picture to maps: ``width`` channels first, then one of ``widths`` per level, finest first, and the middle."""

    def __init__(
        self, width: int, widths: Sequence[int], depth: int, attention: Sequence[int], groups: int = GROUPS
    ) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, width, 3, padding=1)
        before, last = [width, *widths], len(widths) - 1
        self.levels = nn.ModuleList(
            KlLevel(
                before[i],
                width,
                depth,
                attention=i in attention,
                resize=Halve(width) if i < last else None,
                groups=groups,
            )
            for i, width in enumerate(widths)
        )
        self.middle = middle(widths[-1], groups)

    def forward(self, image: Image) -> Resized:
        """What the middle makes of the last level."""
        x = self.first(image)
        for layer in layers(self.levels):
            x = layer(x)
        return self.middle(x)


class KlEncoder(KlTrunk):
    """Picture to posterior moments, mean and log-variance. ``kernel``: of the last convolution; ``hidden``: channels
    before it, where they are not its own."""

    def __init__(
        self,
        width: int,
        widths: Sequence[int],
        depth: int,
        moments: int,
        attention: Sequence[int],
        kernel: int = 1,
        hidden: int | None = None,
        groups: int = GROUPS,
    ) -> None:
        super().__init__(width, widths, depth, attention, groups)
        self.norm = group_norm(widths[-1], groups)
        self.last = nn.Conv2d(widths[-1], hidden or moments, 3, padding=1)
        self.moments = nn.Conv2d(hidden or moments, moments, kernel, padding=kernel // 2)

    def forward(self, image: Image) -> Resized:
        return self.moments(self.last(functional.silu(self.norm(super().forward(image)))))


class KlDecoder(nn.Module):
    """Latents to picture: the levels in reverse, one block deeper. ``kernel``: of the first convolution; ``hidden``:
    channels behind it, where they are not the latents'."""

    def __init__(
        self,
        widths: Sequence[int],
        depth: int,
        channels: int,
        attention: Sequence[int] = (),
        kernel: int = 1,
        hidden: int | None = None,
        groups: int = GROUPS,
    ) -> None:
        super().__init__()
        self.latents = nn.Conv2d(channels, hidden or channels, kernel, padding=kernel // 2)
        self.first = nn.Conv2d(hidden or channels, widths[-1], 3, padding=1)
        self.middle = middle(widths[-1], groups)
        above = [*widths[1:], widths[-1]]
        self.levels = nn.ModuleList(
            KlLevel(
                above[i],
                width,
                depth + 1,
                attention=i in attention,
                resize=Double(width) if i else None,
                groups=groups,
            )
            for i, width in enumerate(widths)
        )
        self.norm = group_norm(widths[0], groups)
        self.last = nn.Conv2d(widths[0], 3, 3, padding=1)

    def forward(self, z: Features) -> Float[Tensor, "b 3 height width"]:
        x = self.middle(self.first(self.latents(z)))
        for layer in layers(reversed(self.levels)):
            x = layer(x)
        x = self.norm(x)
        return self.last(functional.silu(x, inplace=True))


class KlAutoencoder(GridCodec):
    """A tokenizer of images with a Gaussian posterior.

    Args:
        size: of an image in pixels, a side or height and width.
        width: channels of the finest level, a multiple of 32.
        multipliers: of that width, per level, finest first; there is a cell per ``2 ** (levels - 1)`` pixels.
        channels: of a latent.
        depth: residual blocks per level.
        attention: levels of the encoder with attention, 0 the finest.
        groups: of every GroupNorm.
        scale: what generators see is the latent times this, until training measures the latents' own deviation.
        weight: of the KL in training, see `Gaussian`; 1e-6 is the paper's.
    """

    quantizer: Gaussian

    def __init__(
        self,
        *,
        size: Size,
        width: int,
        multipliers: Sequence[int],
        channels: int,
        depth: int = 2,
        attention: Sequence[int] = (),
        groups: int = GROUPS,
        scale: float = 1.0,
        weight: float = 1e-6,
    ) -> None:
        gaussian = Gaussian(channels, weight)
        gaussian.scale.variance.fill_(scale**-2)
        widths = [width * multiplier for multiplier in multipliers]
        super().__init__(
            KlEncoder(width, widths, depth, gaussian.features, attention, groups=groups),
            gaussian,
            KlDecoder(widths, depth, channels, groups=groups),
            size=size,
            stride=2 ** (len(multipliers) - 1),
        )
