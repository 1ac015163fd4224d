"""How scores of the vectors of a basis become coefficients: the phi of ``v = mu + gamma phi(scores) E``.

    unconstrained   c = l                                       (LangBridge as released, arXiv:2503.19404)
    softmax         c = exp(l / tau) / sum                      (AlignVLM, arXiv:2502.01341; Ovis, arXiv:2405.20797)
    sparsemax       c = argmin over the simplex of |c - l/tau|  (Martins & Astudillo, arXiv:1602.02068, Eq. 1)
    top-k           softmax of the k largest, the others 0
    one-hot         c = onehot(argmax l), with the gradient of a soft one (straight through; Ovis, Section 3.2)

All but the first are convex: not negative, of sum 1. Coefficients are fp32 whatever the scores are: a softmax over a
vocabulary in bf16 loses mass.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from limner.nn.whole_batch import noise_like

Scores = Float[Tensor, "*n entries"]
Coefficients = Float[Tensor, "*n entries"]


class Phi(nn.Module):
    """Scores to coefficients."""

    def passed(self) -> None:
        """A training pass begins; what changes in the course of training counts them. Parts of a batch are
        one pass."""


class Unconstrained(Phi):
    """The scores themselves."""

    def forward(self, scores: Scores) -> Coefficients:
        return scores.float()


class Tempered(Phi):
    """What divides scores by a temperature.

    Args:
        temperature: at the start.
        learned: train its logarithm.
    """

    log_temperature: Tensor

    def __init__(self, temperature: float = 1.0, *, learned: bool = True) -> None:
        super().__init__()
        start = torch.tensor(temperature).log()
        if learned:
            self.log_temperature = nn.Parameter(start)
        else:
            self.register_buffer("log_temperature", start)

    def tempered(self, scores: Scores) -> Scores:
        """Scores over the temperature, in fp32."""
        return scores.float() * (-self.log_temperature.float()).exp()


class Softmax(Tempered):
    """Every entry takes part."""

    def forward(self, scores: Scores) -> Coefficients:
        return self.tempered(scores).softmax(-1)


class Sparsemax(Tempered):
    """As many entries take part as are close to the largest score."""

    def forward(self, scores: Scores) -> Coefficients:
        scores = self.tempered(scores)
        ordered = scores.sort(-1, descending=True).values
        ranks = torch.arange(1, scores.shape[-1] + 1, device=scores.device)
        surplus = ordered.cumsum(-1) - 1
        support = (ordered * ranks > surplus).sum(-1, keepdim=True)
        return (scores - surplus.gather(-1, support - 1) / support).clamp_min(0)


class TopK(Tempered):
    """``count`` entries take part, all if there are fewer.

    Chosen from random scores, the first few get all of the gradient and the others none. So all may take part at first;
    from pass ``begin`` to pass ``end`` their number falls to ``count``, by the same factor in every pass.

    Args:
        count: at the end.
        temperature, learned: see `Tempered`.
        begin, end: training passes; 0 and 0 choose from the start.
    """

    seen: Tensor

    def __init__(
        self, count: int, temperature: float = 1.0, *, learned: bool = True, begin: int = 0, end: int = 0
    ) -> None:
        super().__init__(temperature, learned=learned)
        self.count, self.begin, self.end = count, begin, end
        if end:
            self.register_buffer("seen", torch.tensor(0))

    def chosen(self, entries: int) -> int:
        """How many of ``entries`` take part now."""
        if not self.end or entries <= self.count:
            return min(self.count, entries)
        share = (int(self.seen) - self.begin) / max(self.end - self.begin, 1)
        return round(entries * (self.count / entries) ** min(max(share, 0.0), 1.0))

    def forward(self, scores: Scores) -> Coefficients:
        values, ids = self.tempered(scores).topk(self.chosen(scores.shape[-1]))
        return torch.zeros_like(scores, dtype=torch.float32).scatter(-1, ids, values.softmax(-1))

    def passed(self) -> None:
        """Count it."""
        if self.end:
            self.seen += 1


class StraightThrough(Phi):
    """One-hot in value, ``soft`` in gradient.

    Over `Softmax` it is what the `transformers` library has for Ovis 2; over `Unconstrained`, whose gradient is the
    identity on the scores, the authors' own code.
    """

    def __init__(self, soft: Phi) -> None:
        super().__init__()
        self.soft = soft

    def forward(self, scores: Scores) -> Coefficients:
        return through(self.soft(scores))


def gumbel(scores: Scores) -> Scores:
    """Standard Gumbel draws, from torch's own generator."""
    return -noise_like(scores, lambda empty, own: empty.exponential_(generator=own)).log()


class Gumbel(Phi):
    """One-hot draws in proportion to softmax, with the gradient of their relaxation (Jang et al., arXiv:1611.01144):

        c = onehot(argmax(l + g)),   gradient of  softmax((l + g) / tau),   g standard Gumbel

    ``tau`` falls in a straight line over ``passes`` in training; Ovis trains from 5.0 to 0.05. In evaluation mode the
    largest score is taken and nothing is drawn, where the authors' code goes on drawing.

    Args:
        start, end: of the temperature.
        passes: training passes until ``end``; 0 stays at ``start``.
        noise: draws like its argument.
    """

    seen: Tensor

    def __init__(
        self,
        start: float = 5.0,
        end: float = 0.05,
        *,
        passes: int = 0,
        noise: Callable[[Tensor], Tensor] = gumbel,
    ) -> None:
        super().__init__()
        self.start, self.end, self.passes, self.noise = start, end, passes, noise
        self.register_buffer("seen", torch.tensor(0))

    @property
    def temperature(self) -> float:
        """That of the current pass."""
        share = min(int(self.seen) / self.passes, 1.0) if self.passes else 0.0
        return self.start + (self.end - self.start) * share

    def forward(self, scores: Scores) -> Coefficients:
        scores = scores.float()
        if not self.training:
            return through(scores.softmax(-1))
        return through(((scores + self.noise(scores)) / self.temperature).softmax(-1))

    def passed(self) -> None:
        """Count it."""
        self.seen += 1


def through(soft: Coefficients) -> Coefficients:
    """One-hot of the largest, with the gradient of ``soft``."""
    hard = functional.one_hot(soft.argmax(-1), soft.shape[-1]).to(soft.dtype)
    return hard - soft.detach() + soft
