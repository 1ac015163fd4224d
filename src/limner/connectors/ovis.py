"""Ovis: a picture in words of its own, a learned visual vocabulary (Lu et al., arXiv:2405.20797, Section 3).

    l_i = LN(W [f_i ...])        W without bias; neighbours, stride x stride of them, side by side
    v_i = phi(l_i) V             V learned, as wide as words, tied to none of them

``phi`` is a softmax in all released models; the authors also tried one-hot codes, straight through or drawn by Gumbel
(`limner.connectors.coefficients`). The last rows of ``V`` are indicators: no patch is made of them, they stand where a
picture begins and ends.
"""

from __future__ import annotations

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from limner.connectors.coefficients import Phi
from limner.connectors.connector import Words
from limner.connectors.mixing import FLOATS, mix
from limner.connectors.scores import DenseHead
from limner.errors import InputError
from limner.types import Patches


class OvisConnector(nn.Module):
    """A `limner.connectors.connector.Connector`.

    Args:
        features: channels of a patch.
        entries: of the visual vocabulary, indicators not among them.
        width: channels of a word.
        phi: scores to coefficients.
        stride: patches on a side of what becomes one vector; a grid that does not divide is filled up with zeros.
        indicators: rows of the table that are no visual words.
        framed: put the last two indicators before and after each picture, as Ovis 1 does.
        floats: most coefficients that may exist at a time.
    """

    def __init__(
        self,
        features: int,
        entries: int,
        width: int,
        phi: Phi,
        *,
        stride: int = 1,
        indicators: int = 0,
        framed: bool = False,
        floats: int = FLOATS,
    ) -> None:
        super().__init__()
        if framed and indicators < 2:
            raise InputError(f"a frame takes 2 indicators, not {indicators}: give the table more")
        inputs = features * stride**2
        self.head = DenseHead(nn.Identity(), inputs, entries, bias=False, normalised=True)
        self.phi = phi
        self.table = nn.Embedding(entries + indicators, width)
        self.entries, self.stride, self.framed, self.floats = entries, stride, framed, floats

    @property
    def indicators(self) -> Float[Tensor, "indicators d"]:
        """Vectors that mark where pictures begin, end and are divided."""
        return self.table.weight[self.entries :]

    def forward(self, patches: Patches, words: Words) -> Float[Tensor, "b m d"]:
        """One vector per merged patch, and two for a frame; ``words`` have no say."""
        return self.embed(neighbours(patches, self.stride))

    def embed(self, merged: Float[Tensor, "b n merged"]) -> Float[Tensor, "b tokens d"]:
        """Vectors of patches that are merged already."""
        if self.training and torch.is_grad_enabled():
            self.phi.passed()
        visual = mix(
            lambda hidden, rows: self.phi(self.head.scores(hidden, rows)),
            self.head.hidden(merged),
            self.table.weight[: self.entries],
            floats=self.floats,
        )
        if not self.framed:
            return visual
        begin, end = (one.to(visual.dtype).expand(len(visual), 1, -1) for one in self.indicators[-2:])
        return torch.cat([begin, visual, end], 1)

    def scores(self, merged: Float[Tensor, "b n m"]) -> Float[Tensor, "b n entries"]:
        """Normalised scores of the visual words, all of them at once."""
        return self.head.scores(merged.flatten(0, 1), self.table.weight[: self.entries]).unflatten(0, merged.shape[:2])

    @torch.no_grad()
    def settle(self, words: Words) -> None:
        """Draw the table like the words, one mean and deviation for all (the authors' ``vte_re_init``)."""
        self.table.weight.normal_().mul_(words.std()).add_(words.mean())


def neighbours(patches: Patches, stride: int) -> Float[Tensor, "b m merged"]:
    """Squares of ``stride`` x ``stride`` patches as one long vector each, row by row; the grid is filled up with zeros
    below and to the right. Raises `InputError` for a stride above 1 where patches fill no grid."""
    if stride == 1:
        return patches.vectors
    rows, columns = patches.grid
    grid = patches.vectors.unflatten(1, (rows, columns))
    padded = functional.pad(grid, (0, 0, 0, -columns % stride, 0, -rows % stride))
    return rearrange(padded, "b (h s) (w t) f -> b (h w) (s t f)", s=stride, t=stride)
