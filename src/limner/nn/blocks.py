"""The one transformer block, and the one loop over blocks (Vaswani et al., arXiv:1706.03762; pre-norm).

    x <- x + gate * f(norm(x) * (1 + scale) + shift),       f: attention, then MLP
    attention = W softmax(q k^T / sqrt(head_dim)) v,         q and k normalised and rotated, where given

without modulation the gate is 1, scale and shift are 0. Norms, attention, MLP and modulation are modules given to a
`Block`; mask, rotation, modulation and cache come with each pass in a `Context`. A `Stack` runs its blocks, and before
each of them a hook, which may add to the states, drop tokens, skip a branch or hide keys:

    with hooked(stack, hook):
        model(...)
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn
from torch.nn import functional

from limner.nn.cache import Cache
from limner.nn.norms import RmsNorm, SwiGlu
from limner.nn.transformer import Heads, Mlp, Sequence, attend, take


@runtime_checkable
class Rotation(Protocol):
    """Positions of tokens, by which queries and keys are rotated; see `limner.nn.rope.Rotary`."""

    def __call__(self, x: Float[Tensor, "two b heads n head_dim"]) -> Float[Tensor, "two b heads n head_dim"]:
        """Queries and keys, rotated."""

    def at(self, tokens: Int[Tensor, "b kept"]) -> Rotation:
        """The positions of these tokens of each row."""


class Modulation(NamedTuple):
    """What a condition does to a block, for each token or for all alike: of the attention, then of the MLP."""

    shift1: Float[Tensor, "b #n d"]
    scale1: Float[Tensor, "b #n d"]
    gate1: Float[Tensor, "b #n d"]
    shift2: Float[Tensor, "b #n d"]
    scale2: Float[Tensor, "b #n d"]
    gate2: Float[Tensor, "b #n d"]

    @classmethod
    def of(cls, vectors: Float[Tensor, "b #n d6"]) -> Modulation:
        """The six vectors of one, in this order."""
        return cls(*vectors.chunk(6, dim=-1))

    def at(self, tokens: Int[Tensor, "b kept"]) -> Modulation:
        """That of these tokens of each row."""
        return Modulation(*(part if part.shape[1] == 1 else take(part, tokens) for part in self))


class Context(NamedTuple):
    """All that a block reads beside its input. What a hook changes holds from its layer on, but for ``skip`` and
    ``hide``, which hold for one layer."""

    mask: Bool[Tensor, "..."] | None = None
    """Which keys each query sees, broadcast to ``[b heads n total]``; None: all."""
    rotate: Rotation | None = None
    modulation: Callable[[int], Any] | None = None
    """The modulation of each layer, made when a layer needs it, or before: a `Modulation`, or what else the blocks of a
    stack read."""
    cache: Cache | None = None
    tokens: Int[Tensor, "b n"] | None = None
    """Which token of the stack's input each one is, for who must know which are left (see `Stack.run`)."""
    per_token: Float[Tensor, "b n d"] | None = None
    """What a condition says of each token, for who adds it."""
    source: Float[Tensor, "b m e"] | None = None
    """What cross-attention reads."""
    skip: Collection[str] = ()
    """Branches that the next layer leaves out: ``"attn"``, ``"mlp"``. Without its attention a layer caches nothing."""
    hide: Bool[Tensor, "..."] | None = None
    """Keys that the next layer hides besides, broadcast as ``mask`` is."""

    def visible(self) -> Bool[Tensor, "..."] | None:
        """Which keys each query of the next layer sees."""
        if self.hide is None:
            return self.mask
        return ~self.hide if self.mask is None else self.mask & ~self.hide

    def at(self, tokens: Int[Tensor, "b kept"], keys: Int[Tensor, "b total"] | None = None) -> Context:
        """The context of a sequence of which these tokens of each row are left; ``keys``: which columns of the mask
        are, where a cache holds earlier positions."""
        mask, modulation, columns = self.mask, self.modulation, tokens if keys is None else keys
        if mask is not None:
            mask = mask.reshape((1,) * (4 - mask.ndim) + mask.shape)
            mask = mask.expand(len(tokens), -1, -1, -1).take_along_dim(columns[:, None, None], 3)
            mask = mask.take_along_dim(tokens[:, None, :, None], 2) if mask.shape[2] > 1 else mask
        return self._replace(
            mask=mask,
            rotate=None if self.rotate is None else self.rotate.at(tokens),
            modulation=None if modulation is None else lambda layer: modulation(layer).at(tokens),
            tokens=None if self.tokens is None else self.tokens.gather(1, tokens),
            per_token=None if self.per_token is None else take(self.per_token, tokens),
        )


EVERYTHING = Context()
Rows: TypeAlias = slice | Int[Tensor, "b rows"]  # queries of every row alike, or by their index in each
ALL = slice(None)
LayerHook: TypeAlias = Callable[[int, Sequence, Context], tuple[Sequence, Context]]


def modulate(x: Sequence, shift: Float[Tensor, "b #n d"], scale: Float[Tensor, "b #n d"]) -> Sequence:
    """``x * (1 + scale) + shift``."""
    return x * (1.0 + scale) + shift


class Attention(nn.Module):
    """Multi-head self-attention.

    Args:
        width, heads: channels, and how many heads share them.
        qkv: channels to queries, keys and values, one after the other; a linear layer with bias unless given.
        proj: heads to channels; a linear layer with bias unless given.
        norm: head_dim to a norm, made for queries and for keys (Dehghani et al., arXiv:2302.05442, Section 2).
    """

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        qkv: nn.Module | None = None,
        proj: nn.Module | None = None,
        norm: Callable[[int], nn.Module] = nn.Identity,
    ) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = qkv or nn.Linear(width, 3 * width)
        self.q_norm, self.k_norm = norm(width // heads), norm(width // heads)
        self.proj = proj or nn.Linear(width, width)

    def forward(self, x: Sequence, context: Context = EVERYTHING, layer: int = 0) -> Sequence:
        query, key, value = self.parts(x, context)
        if context.cache is not None:
            key, value = context.cache.extend(layer, key, value)
        y = attend(query, key, value, context.visible())
        return self.proj(rearrange(y, "b heads n c -> b n (heads c)"))

    def parts(self, x: Sequence, context: Context) -> tuple[Heads, Heads, Heads]:
        """Queries, keys and values, the first two normalised and rotated."""
        qkv = rearrange(self.qkv(x), "b n (three heads c) -> three b heads n c", three=3, heads=self.heads)
        query, key, value = qkv
        if context.rotate is None:
            return self.q_norm(query), self.k_norm(key), value
        plain = isinstance(self.q_norm, nn.Identity)
        both = qkv[:2] if plain else torch.stack([self.q_norm(query), self.k_norm(key)])
        query, key = context.rotate(both)
        return query, key, value

    def weights(
        self, x: Sequence, context: Context = EVERYTHING, layer: int = 0, rows: Rows = ALL
    ) -> Float[Tensor, "b heads rows total"]:
        """How much each query of ``rows`` attends to each key, those in the cache included; a row sums to 1. Nothing
        is added to the cache."""
        query, key, _ = self.parts(x, context)
        before = None if context.cache is None else context.cache.read(layer)
        if before is not None:
            key = torch.cat([before[0][: len(key)], key], dim=2)
        scores = (_rows(query, rows) * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)
        visible = context.visible()
        if visible is not None:
            visible = visible.reshape((1,) * (4 - visible.ndim) + visible.shape)
            visible = visible.expand(len(x), -1, query.shape[2], -1)
            scores = scores.masked_fill(~_rows(visible, rows), float("-inf"))
        return scores.softmax(-1)


def _rows(x: Shaped[Tensor, "b heads n c"], rows: Rows) -> Shaped[Tensor, "b heads rows c"]:
    return x[:, :, rows] if isinstance(rows, slice) else x.take_along_dim(rows[:, None, :, None], 2)


class Block(nn.Module):
    """Attention and MLP, each of a normalised input and added to it, under a modulation if the context has one.

    Args:
        attn: an `Attention`, or what is called as one.
        mlp: of each token.
        norm: makes the norm of each branch.
        drop: of the output of each branch, before its gate.
        modulation: a condition to shift, scale and gate, twice; called by `modulate` and not in ``forward``, since who
            runs the block knows for how long the result holds.
    """

    def __init__(
        self,
        attn: Attention,
        mlp: nn.Module,
        norm: Callable[[], nn.Module],
        *,
        drop: nn.Module | None = None,
        modulation: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.norm1, self.attn = norm(), attn
        self.norm2, self.mlp = norm(), mlp
        self.drop = drop or nn.Identity()
        self.modulation = modulation

    def forward(self, x: Sequence, context: Context = EVERYTHING, layer: int = 0) -> Sequence:
        if context.modulation is None:
            if "attn" not in context.skip:
                x = x + self.drop(self.attn(self.norm1(x), context, layer))
            return x if "mlp" in context.skip else x + self.drop(self.mlp(self.norm2(x)))
        made = context.modulation(layer)
        if "attn" not in context.skip:
            y = self.attn(modulate(self.norm1(x), made.shift1, made.scale1), context, layer)
            x = x + made.gate1 * self.drop(y)
        if "mlp" in context.skip:
            return x
        return x + made.gate2 * self.drop(self.mlp(modulate(self.norm2(x), made.shift2, made.scale2)))

    def modulate(self, condition: Float[Tensor, "b #n d"]) -> Modulation:
        """The block's own reading of a condition."""
        assert self.modulation is not None, "this block was made without a modulation"
        return Modulation.of(self.modulation(condition))

    def weights(
        self, x: Sequence, context: Context = EVERYTHING, layer: int = 0, rows: Rows = ALL
    ) -> Float[Tensor, "b heads rows total"]:
        """The attention of this block, were it called so; see `Attention.weights`."""
        x = self.norm1(x)
        if context.modulation is not None:
            made = context.modulation(layer)
            x = modulate(x, made.shift1, made.scale1)
        return self.attn.weights(x, context, layer, rows)


class DropPath(nn.Module):
    """Leaves a branch out for a ``share`` of the rows in training, and scales it up for the others (Huang et al.,
    arXiv:1603.09382)."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, branch: Sequence) -> Sequence:
        if not self.training or self.share == 0.0:
            return branch
        kept = torch.rand(len(branch), 1, 1, device=branch.device) >= self.share
        return branch * kept / (1.0 - self.share)


class PostNormBlock(nn.Module):
    """Attention and MLP, each added to its input and the sum normalised: the block of 2017, and of BERT. Arguments are
    those of a `Block`."""

    def __init__(
        self, attn: Attention, mlp: nn.Module, norm: Callable[[], nn.Module], *, drop: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.attn, self.norm1 = attn, norm()
        self.mlp, self.norm2 = mlp, norm()
        self.drop = drop or nn.Identity()

    def forward(self, x: Sequence, context: Context = EVERYTHING, layer: int = 0) -> Sequence:
        if "attn" not in context.skip:
            x = self.norm1(x + self.drop(self.attn(x, context, layer)))
        return x if "mlp" in context.skip else self.norm2(x + self.drop(self.mlp(x)))

    def weights(
        self, x: Sequence, context: Context = EVERYTHING, layer: int = 0, rows: Rows = ALL
    ) -> Float[Tensor, "b heads rows total"]:
        """The attention of this block, were it called so; see `Attention.weights`."""
        return self.attn.weights(x, context, layer, rows)


def unchanged(layer: int, x: Sequence, context: Context) -> tuple[Sequence, Context]:
    """The hook that does nothing."""
    return x, context


class Stack(nn.ModuleList):
    """Blocks, one after the other: modules called as ``block(x, context, layer)``.

    Args:
        blocks: in their order.
        first: number of the first one, where another stack's layers come before it in the same cache.
    """

    def __init__(self, blocks: Iterable[nn.Module] = (), first: int = 0) -> None:
        super().__init__(blocks)
        self.first = first
        self.between: LayerHook = unchanged

    def forward(self, x: Sequence, context: Context = EVERYTHING) -> Float[Tensor, "b kept d"]:
        """The states after the last block."""
        return self.run(x, context)[0]

    def run(self, x: Sequence, context: Context = EVERYTHING) -> tuple[Float[Tensor, "b kept d"], Context]:
        """The states after the last block, and the context as hooks left it."""
        for state in self._steps(x, context):
            x, context = state
        return x, context

    def states(self, x: Sequence, context: Context = EVERYTHING) -> Iterator[Float[Tensor, "b kept d"]]:
        """The states after each block."""
        return (x for x, _ in self._steps(x, context))

    def _steps(self, x: Sequence, context: Context) -> Iterator[tuple[Float[Tensor, "b kept d"], Context]]:
        for layer, block in enumerate(self, self.first):
            x, context = self.between(layer, x, context)
            x = block(x, context, layer)
            if context.skip or context.hide is not None:
                context = context._replace(skip=(), hide=None)
            yield x, context


@contextmanager
def hooked(stack: Stack, hook: LayerHook) -> Iterator[Stack]:
    """Within it, ``hook`` runs before every layer of ``stack``, after hooks that were bound before."""
    before = stack.between

    def both(layer: int, x: Sequence, context: Context) -> tuple[Sequence, Context]:
        return hook(layer, *before(layer, x, context))

    stack.between = hook if before is unchanged else both
    try:
        yield stack
    finally:
        stack.between = before


def vit_blocks(
    depth: int,
    width: int,
    heads: int,
    *,
    hidden: int | None = None,
    activation: Callable[[Tensor], Tensor] = functional.gelu,
    eps: float = 1e-6,
    dropout: float = 0.0,
) -> Stack:
    """The stack of the vision transformer (Dosovitskiy et al., arXiv:2010.11929): LayerNorm, biases everywhere.

    Args:
        depth, width, heads: of the stack.
        hidden: inner channels of every MLP; four times the width unless given.
        activation: of every MLP.
        eps: of every norm.
        dropout: after every attention and MLP.
    """
    return Stack(
        Block(
            Attention(width, heads),
            Mlp(width, hidden or 4 * width, activation),
            lambda: nn.LayerNorm(width, eps=eps),
            drop=nn.Dropout(dropout),
        )
        for _ in range(depth)
    )


def llama_blocks(depth: int, width: int, heads: int, *, hidden: int, dropout: float = 0.0) -> Stack:
    """The stack of Llama (Touvron et al., arXiv:2302.13971): RMSNorm, SwiGLU of ``hidden`` channels, no biases."""

    def block() -> Block:
        qkv, proj = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        attention = Attention(width, heads, qkv=qkv, proj=proj)
        return Block(attention, SwiGlu(width, hidden), lambda: RmsNorm(width), drop=nn.Dropout(dropout))

    return Stack(block() for _ in range(depth))
