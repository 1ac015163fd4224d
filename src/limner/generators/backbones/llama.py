"""LlamaGen's backbone: Llama's blocks over condition and tokens (Sun et al., arXiv:2406.06525).

    slots    condition 1 .. k, then the tokens in raster order; slot k tells of the first token, each other of the next
    block    x + attention(rmsnorm(x)),  x + swiglu(rmsnorm(x));  a slot attends to itself and to those before it
    places   queries and keys are turned by row and column of the token; those of the condition are set to zero, so that
             condition slots attend to all alike, and are attended to alike

A prefix may have one channel more than the blocks: where the last one is 0 a slot only pads, and none but itself
attends to it.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from limner.generators.backbones.backbone import Contexts, Embedded
from limner.nn import rope
from limner.nn.norms import RmsNorm, SwiGlu
from limner.nn.transformer import KeyValueCache, Sequence, attend, take
from limner.types import Steps

Turns = Float[Tensor, "n f 2"]


class RotaryAttention(nn.Module):
    """Self-attention without biases, its queries and keys turned by their places."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.proj = nn.Linear(width, width, bias=False)

    def forward(
        self, x: Sequence, turns: Turns, visible: Bool[Tensor, "..."] | None, cache: KeyValueCache | None, block: int
    ) -> Sequence:
        qkv = rearrange(self.qkv(x), "b n (three heads c) -> three b heads n c", three=3, heads=self.heads)
        (query, key), value = rope.rotate_pairs(qkv[:2], turns), qkv[2]
        if cache is not None:
            key, value = cache.extend(block, key, value)
        return self.proj(rearrange(attend(query, key, value, visible), "b heads n c -> b n (heads c)"))


class LlamaBlock(nn.Module):
    """Attention and SwiGLU, each on a normalised input and added to it."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.norm1, self.attn = RmsNorm(width), RotaryAttention(width, heads)
        self.norm2, self.mlp = RmsNorm(width), SwiGlu(width, hidden)
        self.dropout = dropout

    def forward(
        self, x: Sequence, turns: Turns, visible: Bool[Tensor, "..."] | None, cache: KeyValueCache | None, block: int
    ) -> Sequence:
        y = self.attn(self.norm1(x), turns, visible, cache, block)
        x = x + functional.dropout(y, self.dropout, self.training)
        return x + functional.dropout(self.mlp(self.norm2(x)), self.dropout, self.training)


class Slots(NamedTuple):
    """The slots of a pass: all of them, or those that the cache does not know yet."""

    states: Sequence
    turns: Turns
    visible: Bool[Tensor, "..."] | None
    """Which slots each of them attends to; None: all."""
    first: int
    """How many slots were before them."""
    rank: Int[Tensor, "n"]
    """Place of each token in the order: it is held by slot ``k + rank``."""


class SlotSequence(nn.Module):
    """Condition and known tokens as one sequence, in the order of their steps: a token attends to the condition and to
    the tokens of its own and earlier steps.

    All rows share one order. With a cache, each step of it is one pass.

    Args:
        grid: rows and columns of the tokens.
        prefix: condition slots, each seeing those before it.
        width, heads: of the transformer.
        dropout: of what the slots hold.
    """

    turns: Tensor

    def __init__(self, grid: tuple[int, int], prefix: int, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.prefix, self.width, self.dropout = prefix, width, dropout
        places = rope.grid(*grid, width // heads)
        turns = torch.cat([torch.zeros(prefix, *places.shape[1:]), places])
        self.register_buffer("turns", turns, persistent=False)

    def forward(self, x: Embedded, steps: Steps, prefix: Float[Tensor, "b k e"], cache: KeyValueCache | None) -> Slots:
        order = steps[0].argsort(stable=True)
        known = int((steps[0] < steps[0].max()).sum())
        first = cache.filled if cache is not None else 0
        held = order[max(first - self.prefix, 0) : known]
        states, turns = x[:, held], self.turns[self.prefix + held]
        if not first:
            states = torch.cat([prefix[..., : self.width], states], dim=1)
            turns = torch.cat([self.turns[: self.prefix], turns])
        visible = self._visible(steps[0][order[:known]], prefix[..., self.width :], first)
        states = functional.dropout(states, self.dropout, self.training)
        return Slots(states, turns, visible, first, order.argsort())

    def _visible(
        self, steps: Int[Tensor, "known"], padding: Float[Tensor, "b k p"], first: int
    ) -> Bool[Tensor, "..."] | None:
        visible = None
        if not first:
            moments = torch.cat([torch.arange(-self.prefix, 0, device=steps.device), steps])
            visible = moments <= moments[:, None]
        if padding.shape[-1]:
            read = functional.pad(padding[..., 0] > 0, (0, len(steps)), value=True)[:, None, None, :]
            itself = torch.eye(self.prefix + len(steps), dtype=torch.bool, device=steps.device)
            visible = read if visible is None else visible & read | itself
        return visible


class LlamaTransformer(nn.Module):
    """Raster order; keys and values of earlier slots are kept exactly.

    Args:
        grid: rows and columns of the tokens.
        prefix: condition slots.
        width, depth, heads: of the transformer; heads are of a multiple of 4 channels.
        hidden: inner channels of every SwiGLU.
        dropout: of the embedded slots, and after every attention and SwiGLU.
    """

    def __init__(
        self,
        *,
        grid: tuple[int, int],
        prefix: int,
        width: int,
        depth: int,
        heads: int,
        hidden: int,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.width = width
        self.slots = SlotSequence(grid, prefix, width, heads, dropout)
        self.blocks = nn.ModuleList(LlamaBlock(width, heads, hidden, dropout) for _ in range(depth))
        self.norm = RmsNorm(width)
        initialise(self)

    def cache(self) -> KeyValueCache:
        """Room for the keys and values of the whole sequence."""
        return KeyValueCache(len(self.slots.turns))

    def forward(
        self,
        x: Embedded,
        steps: Steps,
        prefix: Float[Tensor, "b k e"],
        wanted: Int[Tensor, "b m"],
        cache: KeyValueCache | None = None,
    ) -> Contexts:
        slots = self.slots(x, steps, prefix, cache)
        y = slots.states
        for index, block in enumerate(self.blocks):
            y = block(y, slots.turns, slots.visible, cache, index)
        if cache is not None:
            cache.filled = slots.first + y.shape[1]
        return self.norm(take(y, self.slots.prefix - 1 + slots.rank[wanted] - slots.first))


def initialise(module: nn.Module) -> None:
    """Normal weights of deviation 0.02 for every matrix, as the official code starts."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.normal_(part.weight, std=0.02)
