"""FlexVAR's backbone: VAR's blocks over grids of any sides (Jiao et al., arXiv:2502.20313, Sections 3.2 and 3.3).

    input   condition + start, then, for each further grid, the grid before it, enlarged;  + position
    p(n)    positions of an n x n grid: one learned 32 x 32 map, shrunk to it

Which grids there are is read from the steps, whose number of tokens is a square; tokens of step 0 are of grids that are
left out, and are neither read nor predicted. Enlarging is linear and its weights sum to 1, so that it makes no
difference whether rows of the codebook are enlarged and then projected, as officially, or the other way round, as
here.
"""

from __future__ import annotations

import math

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from limner.generators.backbones.backbone import Contexts, Embedded
from limner.generators.backbones.scales import ScaleTrunk
from limner.generators.conditions import Conditioning
from limner.nn.cache import KeyValueCache
from limner.nn.positions import grid_positions
from limner.types import Steps

MAP = 32  # positions on a side of the map


class AnyScaleTransformer(ScaleTrunk):
    """For orders that predict one square grid after the other, of any sides, see `AnyScales`; rows take the same steps.

    Args:
        count: tokens of all grids together.
        width, depth, heads, prefix, shared, drop_path: see `ScaleTrunk`.
    """

    def __init__(
        self,
        *,
        count: int,
        width: int,
        depth: int,
        heads: int,
        prefix: int = 0,
        shared: bool = False,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__(
            count=count, width=width, depth=depth, heads=heads, prefix=prefix, shared=shared, drop_path=drop_path
        )
        self.start = nn.Parameter(torch.zeros(1, 1, width))
        self.position = nn.Parameter(rearrange(grid_positions((MAP, MAP), width), "1 (h w) d -> 1 d h w", h=MAP))
        self.initialise()

    def places(self) -> tuple[nn.Parameter, ...]:
        """The start alone: the map begins as sines of rows and columns."""
        return (self.start,)

    def positions(self, side: int) -> Float[Tensor, "1 n d"]:
        """Of a grid of so many tokens on a side."""
        return functional.interpolate(self.position, size=(side, side), mode="area").flatten(2).mT

    def forward(
        self,
        x: Embedded,
        steps: Steps,
        condition: Conditioning,
        targets: Int[Tensor, "b m"],
        cache: KeyValueCache | None = None,
    ) -> Contexts:
        taken = steps[0] > 0
        if not taken.all():
            targets = (taken.long().cumsum(0) - 1)[targets]
            x, steps = x[:, taken], steps[:, taken]
        return super().forward(x, steps, condition, targets, cache)

    def inputs(
        self, x: Embedded, steps: Int[Tensor, "end"], condition: Float[Tensor, "b d"], start: int
    ) -> Float[Tensor, "b new d"]:
        """The condition in the first grid, then the grid before, enlarged."""
        lengths = torch.unique_consecutive(steps, return_counts=True)[1].tolist()
        sides, parts, at = [math.isqrt(length) for length in lengths], [], 0
        for index, (side, length) in enumerate(zip(sides, lengths, strict=True)):
            if at >= start:
                if index:
                    before = x[:, at - lengths[index - 1] : at].to(condition.dtype)
                    part = enlarged(before, sides[index - 1], side)
                else:
                    part = (condition[:, None] + self.start).expand(-1, length, -1)
                parts.append(part + self.positions(side))
            at += length
        return torch.cat(parts, 1)


def enlarged(tokens: Float[Tensor, "b n d"], side: int, target: int) -> Float[Tensor, "b m d"]:
    """Tokens of a square grid on one of another side, between them cubically."""
    whole = rearrange(tokens, "b (h w) d -> b d h w", h=side)
    return functional.interpolate(whole, size=(target, target), mode="bicubic").flatten(2).mT
