"""Any number of first queries makes a picture: the more of them, the finer (MQT).

Hu et al., Matryoshka Query Transformer, arXiv:2405.19315, Section 3. With M learned queries z on a grid of sine
positions p, and the m first of them taken,

    y = attention(LN(z + p); LN(p'), LN(f)) W,      p' the positions resized to the patches' grid, f the patches

Keys are positions alone, as in the released weights: what a query attends to does not depend on the picture, only what
it finds there does.
"""

from __future__ import annotations

import copy
import math

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from limner.connectors.connector import Words
from limner.errors import InputError
from limner.nn.positions import grid_positions, interpolated
from limner.nn.transformer import attend
from limner.types import Patches


class MatryoshkaQueries(nn.Module):
    """A `limner.connectors.connector.Counted`.

    Args:
        features: channels of a patch, and of queries.
        width: channels of a word.
        queries: in all, a square.
        heads: of the attention.
        grid: patches on a side of the pictures.
    """

    position: Tensor

    def __init__(self, features: int, width: int, *, queries: int, heads: int, grid: int) -> None:
        super().__init__()
        side = math.isqrt(queries)
        if side**2 != queries or features % heads:
            raise InputError(f"{queries} queries are no square, or {features} channels no multiple of {heads} heads")
        self.count, self.heads, self.grid = queries, heads, grid
        self.register_buffer("position", grid_positions(side, features)[0].half().float(), persistent=False)
        self.query = nn.Parameter(0.02 * torch.randn(queries, features))
        self.norm_q, self.norm_k, self.norm_v = (nn.LayerNorm(features, eps=1e-6) for _ in range(3))
        self.to_q, self.to_k, self.to_v, self.out = (nn.Linear(features, features) for _ in range(4))
        self.proj = nn.Linear(features, width, bias=False)
        nn.init.normal_(self.proj.weight, std=features**-0.5)

    def with_count(self, count: int) -> MatryoshkaQueries:
        """The same connector, of the first ``count`` queries; raises `InputError` if there are not so many."""
        if not 1 <= count <= len(self.query):
            raise InputError(f"there are no {count} queries: choose from 1 to {len(self.query)}")
        made = copy.copy(self)
        made.count = count
        return made

    def forward(self, patches: Patches, words: Words) -> Float[Tensor, "b m d"]:
        """One vector per query taken; ``words`` have no say."""
        rows, columns = (max(self.grid, int(last) + 1) for last in patches.positions.amax((0, 1)))
        place = interpolated(self.position, rows, columns)[
            patches.positions @ patches.positions.new_tensor([columns, 1])
        ]
        query = self.to_q(self.norm_q(self.query[: self.count] + self.position[: self.count]))
        key, value = self.to_k(self.norm_k(place)), self.to_v(self.norm_v(patches.vectors))
        split = "b n (heads c) -> b heads n c"
        query = query.expand(len(value), -1, -1)
        seen = attend(*(rearrange(part, split, heads=self.heads) for part in (query, key, value)))
        return self.proj(self.out(rearrange(seen, "b heads m c -> b m (heads c)")))
