"""Mamba-2: a linear recurrence whose decay, input and output depend on the token (Dao & Gu, arXiv:2405.21060).

    h_t = exp(-d_t e^A) h_t-1 + d_t x_t B_t^T,      y_t = h_t C_t + D x_t          d_t = softplus(d + bias), per head
    x, B, C by a causal depthwise convolution and SiLU;   out = W rmsnorm(y * silu(z))

Positions of a chunk are computed at once, by the dual form of Section 6 of the paper: with a the cumulated log-decay,

    y_t = sum_{s <= t} exp(a_t - a_s) (C_t . B_s) d_s x_s + exp(a_t) h_0 C_t

and the state goes on from chunk to chunk, and in a cache from pass to pass: its size does not grow with the sequence.
"""

from __future__ import annotations

import torch
from einops import einsum, rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from limner.nn.blocks import EVERYTHING, Context
from limner.nn.norms import RmsNorm
from limner.nn.transformer import Sequence

State = Float[Tensor, "b heads p n"]  # p channels of a head, n numbers kept of each


def scan(
    x: Float[Tensor, "b t heads p"],
    decay: Float[Tensor, "b t heads"],
    key: Float[Tensor, "b t n"],
    query: Float[Tensor, "b t n"],
    state: State,
    chunk: int = 128,
) -> tuple[Float[Tensor, "b t heads p"], State]:
    """``h_t = exp(decay_t) h_t-1 + x_t key_t^T`` and ``y_t = h_t query_t``, from a state to the last one.

    Args:
        x: inputs of each head, already multiplied by their step.
        decay: logarithm of what is kept of the state, at most 0.
        key, query: B and C of the paper, of all heads alike.
        state: before the first position.
        chunk: positions computed at once; memory grows with its square.
    """
    outputs = []
    for values, logs, keys, queries in zip(*(part.split(chunk, 1) for part in (x, decay, key, query)), strict=True):
        total = logs.cumsum(1)
        between = rearrange(total, "b t h -> b h t 1") - rearrange(total, "b s h -> b h 1 s")
        past = torch.ones(between.shape[-2:], dtype=torch.bool, device=x.device).tril()
        weights = (
            between.masked_fill(~past, float("-inf")).exp() * einsum(queries, keys, "b t n, b s n -> b t s")[:, None]
        )
        y = einsum(weights, values, "b h t s, b s h p -> b t h p")
        y = y + einsum(total.exp(), queries, state, "b t h, b t n, b h p n -> b t h p")
        outputs.append(y)
        left = (total[:, -1:] - total).exp()
        state = total[:, -1].exp()[..., None, None] * state + einsum(
            left, values, keys, "b s h, b s h p, b s n -> b h p n"
        )
    return torch.cat(outputs, 1), state


class Mamba2(nn.Module):
    """A mixer of positions that sees earlier ones only; called as attention is. With a cache it goes on from the state
    after the positions before.

    Args:
        width: channels in and out.
        head: channels of a head; raises `ValueError` if they do not divide the ``expand`` times wider inside.
        state: numbers that are kept of each channel.
        kernel: positions of the convolution.
        expand: how many times wider it is inside.
    """

    def __init__(self, width: int, *, head: int = 64, state: int = 64, kernel: int = 4, expand: int = 2) -> None:
        super().__init__()
        self.inner, self.state, self.kernel = expand * width, state, kernel
        if self.inner % head:
            raise ValueError(f"{self.inner} channels do not divide into heads of {head}")
        self.heads = self.inner // head
        mixed = self.inner + 2 * state
        self.in_proj = nn.Linear(width, self.inner + mixed + self.heads, bias=False)
        self.conv1d = nn.Conv1d(mixed, mixed, kernel, groups=mixed)
        step = torch.exp(torch.empty(self.heads).uniform_(-6.9, -2.3))  # d between 0.001 and 0.1 at the start
        self.dt_bias = nn.Parameter(step + (-torch.expm1(-step)).log())  # the inverse of softplus
        self.A_log = nn.Parameter(torch.empty(self.heads).uniform_(1.0, 16.0).log())
        self.D = nn.Parameter(torch.ones(self.heads))
        self.norm = RmsNorm(self.inner, eps=1e-5)
        self.out_proj = nn.Linear(self.inner, width, bias=False)

    def forward(self, x: Sequence, context: Context = EVERYTHING, layer: int = 0) -> Sequence:
        cache = context.cache
        before = None if cache is None else cache.state(layer)
        sizes = (self.inner, self.inner + 2 * self.state, self.heads)
        gate, mixed, step = self.in_proj(x).split(sizes, dim=-1)
        tail, state = self._begin(mixed) if before is None else self._unpack(before[: len(x)])
        mixed = torch.cat([tail, mixed], dim=1)
        convolved = functional.silu(self.conv1d(mixed.transpose(1, 2)).transpose(1, 2))
        values, key, query = convolved.split((self.inner, self.state, self.state), dim=-1)
        values = rearrange(values, "b t (heads p) -> b t heads p", heads=self.heads)
        step = functional.softplus(step + self.dt_bias)
        y, state = scan(values * step[..., None], -step * self.A_log.exp(), key, query, state)
        y = rearrange(y + self.D[:, None] * values, "b t heads p -> b t (heads p)")
        if cache is not None:
            tail = mixed[:, mixed.shape[1] - self.kernel + 1 :]
            cache.advance(layer, x.shape[1], torch.cat([tail.flatten(1), state.flatten(1)], 1))
        return self.out_proj(self.norm(y * functional.silu(gate)))

    def _begin(self, mixed: Float[Tensor, "b t c"]) -> tuple[Float[Tensor, "b tail c"], State]:
        """Nothing before the first position."""
        tail = mixed.new_zeros(len(mixed), self.kernel - 1, mixed.shape[-1])
        return tail, mixed.new_zeros(len(mixed), self.heads, self.inner // self.heads, self.state)

    def _unpack(self, kept: Float[Tensor, "b kept"]) -> tuple[Float[Tensor, "b tail c"], State]:
        """The last inputs of the convolution and the state, which a cache keeps as one row."""
        count = (self.kernel - 1) * (self.inner + 2 * self.state)
        tail, state = kept[:, :count], kept[:, count:]
        return tail.unflatten(1, (self.kernel - 1, -1)), state.unflatten(1, (self.heads, -1, self.state))
