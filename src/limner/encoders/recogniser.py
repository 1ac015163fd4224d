"""The recogniser: reads what was drawn, so that prompt accuracy can be counted.

Independent of the feature net and of every generator: own weights, own training. A dense head looks for shapes on a
grid of 4-pixel cells (centre, shape, colour, size) after "Objects as Points" (Zhou et al. 2019,
arXiv:1904.07850: things are local maxima of a centre map), a global head names a full-canvas emoji. It is trained on
softened, shifted, noisy pictures, because drawn pictures are; and on empty and random ones, so that it can say nothing.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from limner.data.preprocess import Pictures, prepared
from limner.data.scenes import COLOURS, SHAPES, SIZES
from limner.encoders.features import ConvUnit
from limner.types import Image

PARTS = {"centre": 1, "offset": 2, "shape": len(SHAPES), "colour": len(COLOURS), "size": len(SIZES)}
CELL = 4  # pixels per cell of the dense head
SIDE = 64  # the picture size it was trained for


class Sighting(NamedTuple):
    """A thing that was read: words from SHAPES, COLOURS and SIZES, its centre in pixels, and how sure (0 to 1)."""

    shape: str
    colour: str
    size: str
    x: float
    y: float
    score: float


class Recogniser(nn.Module):
    """A small U-shaped network for 64-pixel pictures; ``read`` finds shapes, ``name_emoji`` names a full-canvas emoji.

    ``num_names`` counts the rows of the name head: one per emoji label; labels with pixel-identical pictures share the
    row of their canonical label.
    """

    def __init__(self, num_names: int = 1870, widths: tuple[int, int] = (64, 96), name_dim: int = 96) -> None:
        super().__init__()
        middle, high = widths
        self.fine = nn.Sequential(nn.PixelUnshuffle(CELL), ConvUnit(3 * CELL**2, middle), ConvUnit(middle, middle))
        self.coarse = nn.Sequential(ConvUnit(middle, high, 2), ConvUnit(high, high), ConvUnit(high, high))
        self.lift = nn.Conv2d(high, middle, 1)
        self.merge = ConvUnit(middle, middle)
        self.dense = nn.Conv2d(middle, sum(PARTS.values()), 1)
        assert self.dense.bias is not None
        with torch.no_grad():
            self.dense.bias[0] = -4.0  # things are rare: one cell in fifty (arXiv:1708.02002, Section 3.3)
        self.fold = nn.Conv2d(high, name_dim // 2, 2, 2)  # 4x4 places: where a detail sits helps to name it
        self.embed = nn.Sequential(nn.Linear(name_dim // 2 * (SIDE // 16) ** 2, name_dim), nn.LayerNorm(name_dim))
        self.name = nn.Linear(name_dim, num_names)

    def forward(self, image: Image) -> tuple[dict[str, Float[Tensor, "b _ g v"]], Float[Tensor, "b k"]]:
        """Dense maps by part (logits; ``offset`` in cells from the cell's centre) and emoji name logits."""
        if tuple(image.shape[2:]) != (SIDE, SIDE):
            image = F.interpolate(image, size=(SIDE, SIDE), mode="bicubic", antialias=True).clamp(-1, 1)
        fine = self.fine(image)
        coarse = self.coarse(fine)
        merged = self.merge(fine + F.interpolate(self.lift(coarse), scale_factor=2.0, mode="nearest"))
        maps = self.dense(merged).float().split(list(PARTS.values()), dim=1)
        folded = F.silu(self.fold(coarse)).flatten(1)
        return dict(zip(PARTS, maps, strict=True)), self.name(self.embed(folded)).float()

    @torch.no_grad()
    def read(self, image: Pictures, threshold: float = 0.5) -> list[list[Sighting]]:
        """What stands in each picture, surest first; an empty list when nothing is there. Pictures are what
        `limner.data.preprocess` takes for such, cut to 64 pixels; places in a tensor of floats are in its pixels."""
        image = prepared(image, self, SIDE)
        maps, _ = self(image)
        centre = maps["centre"].sigmoid()[:, 0]
        peaks = (centre >= threshold) & (centre == F.max_pool2d(centre, 3, 1, 1))
        found: list[list[Sighting]] = [[] for _ in range(len(image))]
        for b, row, column in peaks.nonzero().tolist():
            words = [names[int(maps[part][b, :, row, column].argmax())] for part, names in _VOCABULARY]
            dx, dy = maps["offset"][b, :, row, column].tolist()
            scale = image.shape[3] / SIDE
            x, y = (column + 0.5 + dx) * CELL * scale, (row + 0.5 + dy) * CELL * scale
            found[b].append(Sighting(words[0], words[1], words[2], x, y, float(centre[b, row, column])))
        return [sorted(things, key=lambda thing: -thing.score) for things in found]

    @torch.no_grad()
    def name_emoji(self, image: Pictures) -> tuple[Int[Tensor, "b"], Float[Tensor, "b"]]:
        """The most likely canonical emoji label of each picture and its probability."""
        probability, label = self(prepared(image, self, SIDE))[1].softmax(1).max(1)
        return label, probability


_VOCABULARY = (("shape", SHAPES), ("colour", COLOURS), ("size", SIZES))
