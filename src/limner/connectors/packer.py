"""A coarse grid of patches, each of which gathers the details of the finer patches that it covers (TokenPacker).

Li et al., arXiv:2407.02392, Section 3.2. With f the patches, F those of several layers side by side, s a scale:

    q = LN(W f'),  f' the grid at 1/s of its side, bilinear       k = LN(mlp_k(F)),   v = LN(mlp_v(F))
    y_j = attention(q_j; k, v of the s x s patches that cell j covers),       out = W2 gelu(W1 y)
"""

from __future__ import annotations

from functools import partial

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from limner.connectors.connector import Words
from limner.errors import InputError
from limner.nn.transformer import attend
from limner.types import Patches


class TokenPacker(nn.Module):
    """A `limner.connectors.connector.Connector` to a 1 / ``scale``^2 of the patches.

    Args:
        fine: channels of a patch, from the first on, that make keys and values: those of several layers.
        coarse: channels, from the last back, that make queries: those of one layer.
        width: channels of a word.
        inner: channels of queries, keys and values.
        heads: of the attention.
        scale: patches on a side of a cell.
    """

    def __init__(
        self, fine: int, coarse: int, width: int, *, inner: int | None = None, heads: int = 8, scale: int = 2
    ) -> None:
        super().__init__()
        inner = inner or coarse
        if inner % heads or scale < 1:
            raise InputError(
                f"{inner} channels do not divide into {heads} heads, or cells of {scale} patches cannot be"
            )
        self.fine, self.coarse, self.heads, self.scale = fine, coarse, heads, scale
        self.query = nn.Linear(coarse, inner, bias=False)
        self.key, self.value = (_mlp(fine, inner) for _ in range(2))
        self.norm_q, self.norm_k, self.norm_v = (nn.LayerNorm(inner, eps=1e-6) for _ in range(3))
        self.to_q, self.to_k, self.to_v, self.proj = (nn.Linear(inner, inner) for _ in range(4))
        self.mlp = _mlp(inner, width)

    def forward(self, patches: Patches, words: Words) -> Float[Tensor, "b m d"]:
        """A vector per cell, row by row; raises `InputError` if cells do not fill the grid."""
        rows, columns = patches.grid
        if rows % self.scale or columns % self.scale:
            raise InputError(
                f"a grid of {rows}x{columns} patches has no whole cells of {self.scale}: choose another scale"
            )
        cells = {"h": rows // self.scale, "w": columns // self.scale}
        cut = partial(rearrange, pattern="b (h p w q) c -> (b h w) (p q) c", p=self.scale, q=self.scale, **cells)
        grid = rearrange(patches.vectors[..., -self.coarse :], "b (h w) c -> b c h w", h=rows)
        coarse = functional.interpolate(grid.float(), (cells["h"], cells["w"]), mode="bilinear").to(grid.dtype)
        query = self.to_q(self.norm_q(self.query(rearrange(coarse, "b c h w -> (b h w) 1 c"))))
        fine = cut(patches.vectors[..., : self.fine])
        key, value = self.to_k(self.norm_k(self.key(fine))), self.to_v(self.norm_v(self.value(fine)))
        split = "n m (heads c) -> n heads m c"
        seen = attend(*(rearrange(part, split, heads=self.heads) for part in (query, key, value)))
        packed = self.mlp(self.proj(rearrange(seen, "n heads 1 c -> n (heads c)")))
        return rearrange(packed, "(b m) d -> b m d", b=len(patches.vectors))


def _mlp(wide: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(wide, width), nn.GELU(), nn.Linear(width, width))
