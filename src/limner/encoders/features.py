"""The feature net: a small convolutional network whose features say how alike two pictures look.

Its maps at strides 2, 4 and 8 make the perceptual loss of the tokenizers (the recipe of LPIPS, Zhang et al. 2018,
arXiv:1801.03924, Eq. 1, with uniform weights), its pooled vector the Frechet distance of the evaluation. How it
learns to look is in feature_training.py.
"""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from limner.nn.convolution import ChannelNorm
from limner.types import Image


class ConvUnit(nn.Module):
    """3x3 convolution, layer norm over channels, SiLU."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, stride, 1)
        self.norm = ChannelNorm(out_channels)

    def forward(self, x: Float[Tensor, "b i h w"]) -> Float[Tensor, "b o g v"]:
        return F.silu(self.norm(self.conv(x)))


class FeatureNet(nn.Module):
    """Three stages at strides 2, 4, 8 and a pooled vector; no fixed picture size (32 pixels and up).

    ``net.maps(image)`` gives the list of three maps ``[b, widths[i], h / 2**(i+1), w / 2**(i+1)]``;
    ``net.pooled(image)`` gives ``[b, pooled_dim]``.
    """

    def __init__(
        self, widths: tuple[int, ...] = (24, 48, 96), depths: tuple[int, ...] = (1, 1, 2), pooled_dim: int = 192
    ) -> None:
        super().__init__()
        self.pooled_dim = pooled_dim
        self.stages = nn.ModuleList(
            nn.Sequential(ConvUnit(low, high, stride=2), *(ConvUnit(high, high) for _ in range(depth)))
            for low, high, depth in zip((3, *widths), widths, depths)
        )
        self.project = nn.Conv2d(widths[-1], pooled_dim, 1)

    def forward(self, image: Image) -> list[Float[Tensor, "b _ _ _"]]:
        return self.maps(image)

    def maps(self, image: Image) -> list[Float[Tensor, "b _ _ _"]]:
        """Feature maps at strides 2, 4 and 8, for the perceptual loss."""
        maps = []
        x = image
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps

    def places(self, image: Image) -> Float[Tensor, "b d _ _"]:
        """The map at stride 8 projected to ``pooled_dim`` channels; its average over places is the pooled vector."""
        return F.silu(self.project(self(image)[-1]))

    def pooled(self, image: Image) -> Float[Tensor, "b d"]:
        """One vector per picture, for the Frechet distance."""
        return self.places(image).mean(dim=(2, 3))
