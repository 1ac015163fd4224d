"""Token merging: patches that are alike become one, their mean (Bolya et al., ToMe, arXiv:2210.09461, Section 3).

    sources, destinations = patches at even and odd places
    r sources of largest cosine with their nearest destination are joined to it:    d <- mean of d and its sources

Left are the other sources, the least alike last, and then the destinations in their order, as in AIM's code
(arXiv:2412.03248), which merges by the patches' own vectors.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from limner.connectors.connector import Query
from limner.errors import InputError
from limner.nn.transformer import take
from limner.types import Patches


@dataclass(frozen=True)
class Alike:
    """A `limner.connectors.connector.Reduce`: merges in rounds until a ``share`` of the patches is left, each round at
    most halving them. A merged patch lies where its destination lay and weighs as much as all that it stands for.

    Raises `InputError` for a share outside (0, 1].
    """

    share: float

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise InputError(f"a share of {self.share:g} of the patches cannot be left: choose one in (0, 1]")

    def __call__(self, patches: Patches, query: Query | None) -> Patches:
        left = max(int(patches.vectors.shape[1] * self.share), 1)
        while (count := patches.vectors.shape[1]) > left:
            patches = merged(patches, min(count - left, count // 2))
        return patches


def merged(patches: Patches, joined: int) -> Patches:
    """The patches after ``joined`` sources, at most every second patch, went into destinations."""
    vectors = patches.vectors
    source, destination = vectors[:, ::2], vectors[:, 1::2]
    alike = functional.normalize(source, dim=-1) @ functional.normalize(destination, dim=-1).transpose(1, 2)
    nearest = alike.max(-1)
    order = nearest.values.argsort(dim=-1, descending=True, stable=True)
    into = nearest.indices.gather(1, order[:, :joined])
    places = torch.arange(vectors.shape[1], device=vectors.device)
    stays = torch.cat([places[::2][order[:, joined:]], places[1::2].expand(len(vectors), -1)], 1)
    gone, stay = places[::2][order[:, :joined]], order.shape[1] - joined
    summed, counts = (_added(of, stays, gone, into + stay) for of in (vectors, torch.ones_like(vectors[..., :1])))
    weight = None
    if patches.weight is not None:
        weight = _added(patches.weight[..., None], stays, gone, into + stay)[..., 0]
    return Patches(summed / counts, take(patches.positions, stays), patches.pooled, weight)


def _added(
    x: Float[Tensor, "b n c"], stays: Int[Tensor, "b m"], gone: Int[Tensor, "b r"], into: Int[Tensor, "b r"]
) -> Float[Tensor, "b m c"]:
    """Of the rows that stay the sum with those that go into them."""
    return take(x, stays).scatter_add(1, into[..., None].expand(-1, -1, x.shape[2]), take(x, gone))
