"""A softmax over the codebook: cross-entropy to train, temperature, top-k and top-p to draw.

p(id) = softmax(cut((u + g (c - u)) / T))_id      c, u: logits with and without condition; guidance g, temperature T
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from limner.generators.heads.head import Contexts, SamplingOptions, guide
from limner.types import Rng

Shares: TypeAlias = Float[Tensor, "b m v"]  # probabilities of all ids at m positions of each row


class SoftmaxHead(nn.Module, ABC):
    """Ids by their logits, however those are made.

    ``smoothing`` is the share of the target that training spreads evenly over all ids (arXiv:1512.00567, Section 7).
    """

    smoothing: float = 0.0

    @abstractmethod
    def logits(self, contexts: Contexts) -> Float[Tensor, "b m v"]:
        """Unnormalised log-probability of every id."""

    def loss(self, contexts: Contexts, tokens: Int[Tensor, "b m"], rng: Rng) -> Float[Tensor, "b m"]:
        """Cross-entropy in nats."""
        logits = self.logits(contexts).transpose(1, 2)
        return functional.cross_entropy(logits, tokens, reduction="none", label_smoothing=self.smoothing)

    def blank(self, batch: int, count: int) -> Int[Tensor, "b n"]:
        """Placeholders of tokens not yet drawn."""
        return torch.zeros(batch, count, dtype=torch.long)

    def guided_logits(self, contexts: Contexts, guided: bool, options: SamplingOptions) -> Float[Tensor, "rows m v"]:
        """``u + g (c - u)``, before temperature and cuts."""
        logits = self.logits(contexts)
        return guide(logits, options.guidance) if guided else logits

    def distribution(self, contexts: Contexts, guided: bool, options: SamplingOptions) -> Float[Tensor, "rows m v"]:
        """Probability of every id."""
        return probabilities(self.guided_logits(contexts, guided, options), options)

    def sample(self, contexts: Contexts, guided: bool, options: SamplingOptions, rng: Rng) -> Int[Tensor, "rows m"]:
        """An id of the distribution, by inverting its distribution function over ids in order of probability."""
        return drawn(self.guided_logits(contexts, guided, options), options, rng)


def gumbel(uniform: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """Standard Gumbel noise from uniform draws in [0, 1)."""
    return -(-uniform.log()).log()


def drawn(logits: Float[Tensor, "rows m v"], options: SamplingOptions, rng: Rng) -> Int[Tensor, "rows m"]:
    """Ids of ``softmax(cut(logits / T))``, by inverting its distribution function over ids in order of probability."""
    uniform = rng.uniform(*logits.shape[:2])
    if options.temperature == 0:
        return logits.argmax(-1)
    shares, ids = likeliest(logits / options.temperature, options.top_k)
    shares = shares.softmax(-1)
    edges = shares.cumsum(-1)
    last = (edges - shares <= options.top_p).sum(-1, keepdim=True) - 1  # of the tail's cut, as in `cut`
    place = torch.searchsorted(edges, uniform[..., None] * edges.gather(-1, last), right=True)
    return ids.gather(-1, place.minimum(last))[..., 0]


class CategoricalHead(SoftmaxHead):
    """Ids of a codebook of ``entries`` rows; embedding and output share one table (Press & Wolf, arXiv:1608.05859)."""

    def __init__(self, entries: int, width: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(entries, width)
        self.bias = nn.Parameter(torch.zeros(entries))
        nn.init.normal_(self.embed.weight, std=0.02)

    def logits(self, contexts: Contexts) -> Float[Tensor, "b m v"]:
        """Unnormalised log-probability of every id."""
        return functional.linear(contexts, self.embed.weight, self.bias).float()


class LinearCategoricalHead(SoftmaxHead):
    """Ids of a codebook of ``entries`` rows; embedding and output are tables of their own, of ``width`` channels and of
    those of the ``context``, where these are not as many."""

    def __init__(
        self, entries: int, width: int, *, context: int | None = None, bias: bool = True, smoothing: float = 0.0
    ) -> None:
        super().__init__()
        self.smoothing = smoothing
        self.embed = nn.Embedding(entries, width)
        self.output = nn.Linear(context or width, entries, bias)
        for weight in (self.embed.weight, self.output.weight):
            nn.init.normal_(weight, std=0.02)
        if bias:
            nn.init.zeros_(self.output.bias)

    def logits(self, contexts: Contexts) -> Float[Tensor, "b m v"]:
        """Unnormalised log-probability of every id."""
        return self.output(contexts).float()


def probabilities(logits: Float[Tensor, "*b v"], options: SamplingOptions) -> Float[Tensor, "*b v"]:
    """``softmax(cut(logits / T))``; at temperature 0 all of it is the likeliest id's."""
    if options.temperature == 0:
        return functional.one_hot(logits.argmax(-1), logits.shape[-1]).to(logits.dtype)
    return cut(logits / options.temperature, options).softmax(-1)


def likeliest(logits: Float[Tensor, "*b v"], count: int) -> tuple[Float[Tensor, "*b k"], Int[Tensor, "*b k"]]:
    """The ``count`` largest logits (0: all) and their ids, the largest first."""
    if 0 < count < logits.shape[-1]:
        values, ids = logits.topk(count, dim=-1)
    else:
        values, ids = logits.sort(stable=True, dim=-1, descending=True)
    return values, ids


def cut(logits: Float[Tensor, "*b v"], options: SamplingOptions) -> Float[Tensor, "*b v"]:
    """Logits with all but the ``top_k`` largest, then all beyond the smallest set of mass ``top_p``, at -inf."""
    if options.top_k:
        least = logits.topk(min(options.top_k, logits.shape[-1]), dim=-1).values[..., -1:]
        logits = logits.masked_fill(logits < least, float("-inf"))
    if options.top_p < 1.0:
        ordered, ids = logits.sort(-1, descending=True)
        mass_before = ordered.softmax(-1).cumsum(-1) - ordered.softmax(-1)
        removed = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, ids, mass_before > options.top_p)
        logits = logits.masked_fill(removed, float("-inf"))
    return logits
