"""A fixed number of vectors from any number of patches: learned queries that look at them.

Li et al., BLIP-2, arXiv:2301.12597, Section 3.1 (the Q-Former, without its text); Alayrac et al., Flamingo,
arXiv:2204.14198, Section 3.1.1 (the resampler):

    q <- q + selfattention(q),   q <- q + attention(q, patches + positions),   q <- q + mlp(q)

all of normalised inputs. Deviations: patches get learned positions, because nothing else tells queries where they lie;
no words are read.
"""

from __future__ import annotations

import math

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from limner.connectors.connector import Words
from limner.errors import InputError
from limner.nn.blocks import EVERYTHING, Attention, Context, Stack
from limner.nn.transformer import Mlp, attend
from limner.types import Patches

Queries = Float[Tensor, "b m d"]


class CrossAttention(nn.Module):
    """Queries look at patches."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Queries, seen: Float[Tensor, "b n d"]) -> Queries:
        query = rearrange(self.query(x), "b m (heads c) -> b heads m c", heads=self.heads)
        key, value = rearrange(self.key_value(seen), "b n (two heads c) -> two b heads n c", two=2, heads=self.heads)
        return self.proj(rearrange(attend(query, key, value), "b heads m c -> b m (heads c)"))


class ResamplerBlock(nn.Module):
    """Queries look at each other and at the patches."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(width), Attention(width, heads)
        self.norm2, self.cross = nn.LayerNorm(width), CrossAttention(width, heads)
        self.norm3, self.mlp = nn.LayerNorm(width), Mlp(width, 4 * width, functional.gelu)

    def forward(self, x: Queries, context: Context = EVERYTHING, layer: int = 0) -> Queries:
        assert context.source is not None, "a resampler reads patches"
        x = x + self.attn(self.norm1(x), context, layer)
        x = x + self.cross(self.norm2(x), context.source)
        return x + self.mlp(self.norm3(x))


class Resampler(nn.Module):
    """A `limner.connectors.connector.Connector`.

    Args:
        features: channels of a patch.
        patches: of a square picture; positions are learned for each.
        width: channels of a word, and of the queries.
        queries: vectors per picture.
        depth, heads: of the transformer.
    """

    def __init__(
        self, features: int, patches: int, width: int, *, queries: int, depth: int = 2, heads: int = 4
    ) -> None:
        super().__init__()
        if width % heads:
            raise InputError(f"{width} channels do not divide into {heads} heads: choose another number of heads")
        self.queries = nn.Parameter(width**-0.5 * torch.randn(queries, width))
        self.position = nn.Parameter(width**-0.5 * torch.randn(patches, width))
        self.enter = nn.Linear(features, width)
        self.norm_first = nn.LayerNorm(width)
        self.blocks = Stack(ResamplerBlock(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.proj = nn.Linear(width, width)

    def forward(self, patches: Patches, words: Words) -> Queries:
        """One vector per query; ``words`` have no say. Raises `InputError` for a patch that has no learned position."""
        side = math.isqrt(len(self.position))
        if int(patches.positions.max()) >= side:
            raise InputError(f"this resampler reads grids of {side}x{side} patches, not larger ones: give it its own")
        place = self.position[patches.positions @ patches.positions.new_tensor([side, 1])]
        seen = self.norm_first(self.enter(patches.vectors)) + place
        x = self.blocks(self.queries.expand(len(seen), -1, -1), Context(source=seen))
        return self.proj(self.norm(x))
