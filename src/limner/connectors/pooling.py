"""Nested sets of visual tokens: means over ever larger cells of the grid, each set a coarser picture (M3).

    x_s = mean over cells of (g / s) x (g / s) vectors,       s x s of them, s dividing the side g of the grid

Cai et al., Matryoshka Multimodal Models, arXiv:2405.17430, Section 3. Pooling comes after the connector and has no
weights.
"""

from __future__ import annotations

import math
from typing import cast

from einops import reduce
from jaxtyping import Float
from torch import Tensor, nn

from limner.connectors.connector import Connector, Words
from limner.errors import InputError
from limner.types import Patches


def pooled(vectors: Float[Tensor, "b n d"], count: int) -> Float[Tensor, "b m d"]:
    """The set of ``count`` vectors of a square grid; raises `InputError` if its cells do not divide the grid."""
    side, small = math.isqrt(vectors.shape[1]), math.isqrt(count)
    if side**2 != vectors.shape[1] or small**2 != count or not count or side % small:
        raise InputError(
            f"{vectors.shape[1]} tokens have no {count} cells of one size: choose a square whose side divides theirs"
        )
    return reduce(vectors, "b (h p w q) d -> b (h w) d", "mean", h=small, w=small, p=side // small)


class NestedConnector(nn.Module):
    """A `limner.connectors.connector.Counted` that gives one of the sets.

    Args:
        connector: makes a vector of every patch.
        count: of the set.
    """

    def __init__(self, connector: Connector, count: int) -> None:
        super().__init__()
        self.connector, self.count = cast(nn.Module, connector), count

    def with_count(self, count: int) -> NestedConnector:
        """The same connector, giving another set."""
        return NestedConnector(cast(Connector, self.connector), count)

    def forward(self, patches: Patches, words: Words) -> Float[Tensor, "b m d"]:
        """Means over cells, row by row."""
        return pooled(self.connector(patches, words), self.count)
