"""Parts that only this study needs: what a basis does to a gradient, made by hand; directions of no words; an annealed
few; and a map between two language models' words that needs no basis at all.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from limner.connectors.bases import Basis, Span
from limner.connectors.coefficients import Coefficients, Scores, Tempered
from limner.connectors.connector import Words
from limner.connectors.mlp import MlpConnector
from studies.language_basis.world import seen


@torch.no_grad()
def settle_mlp(connector: MlpConnector, words: Words, features: Float[Tensor, "b n f"]) -> None:
    """Start as the others do: around the mean of the words, as far from it as words are."""
    vectors = connector(seen(features), words)
    spread = (words - words.mean(0)).square().mean().sqrt()
    connector.fc2.weight.mul_(spread / (vectors - vectors.mean((0, 1))).square().mean().sqrt())
    nn.init.zeros_(connector.fc2.bias)
    connector.fc2.bias.copy_(words.mean(0) - connector(seen(features), words).mean((0, 1)))


class PreconditionedMlp(MlpConnector):
    """An MLP whose last layer's gradient is multiplied by ``E'E / tr(E'E)``, up to scale: what descending the head W of
    ``v = h W E`` does to ``W E`` (with plain gradient descent; AdamW normalises it in part)."""

    def precondition(self, words: Words) -> None:
        """By this table from now on."""
        centred = (words - words.mean(0)).detach()
        gram = centred.mT @ centred
        factor = gram * (len(gram) / gram.trace())
        self.fc2.weight.register_hook(lambda gradient: factor @ gradient)


class Directions(Basis):
    """``size`` orthonormal directions drawn at random, each as long as words spread on average: the control of the
    words' own principal ones.

    Args:
        size: directions, at most as many as channels.
        width: channels of a word.
        seed: of the draw.
    """

    axes: Tensor

    def __init__(self, size: int, width: int, seed: int = 0) -> None:
        super().__init__(size)
        drawn = torch.randn(width, size, generator=torch.Generator().manual_seed(seed))
        self.register_buffer("axes", torch.linalg.qr(drawn).Q.mT.contiguous())

    def forward(self, words: Words) -> Span:
        spread = words.detach().var(0, unbiased=False).mean().sqrt()
        return Span(words.mean(0), self.axes * spread, torch.zeros_like(words[0]))


class Narrowing(Tempered):
    """Softmax over all entries for ``passes`` training passes, over the ``count`` largest from then on: few words from
    the start learn badly, for those that are left out get no gradient.

    Few shares lie farther from the mean than many, so they are scaled, once, to lie as far as the many did; otherwise a
    gain that was learnt for these would throw vectors far off.
    """

    seen: Tensor
    scale: Tensor

    def __init__(self, count: int, passes: int, temperature: float) -> None:
        super().__init__(temperature)
        self.count, self.passes = count, passes
        self.register_buffer("seen", torch.tensor(0))
        self.register_buffer("scale", torch.tensor(0.0))  # 0: not narrowed yet

    def passed(self) -> None:
        """Count it."""
        self.seen += 1

    def forward(self, scores: Scores) -> Coefficients:
        tempered = self.tempered(scores)
        many = tempered.softmax(-1)
        if int(self.seen) <= self.passes:
            return many
        values, ids = tempered.topk(min(self.count, scores.shape[-1]))
        some = torch.zeros_like(tempered).scatter(-1, ids, values.softmax(-1))
        if float(self.scale) == 0:
            self.scale.copy_(((many - many.mean()).norm() / (some - some.mean()).norm()).detach())
        return some * self.scale


def least_squares(old: Words, new: Float[Tensor, "v width"]) -> Float[Tensor, "d width"]:
    """The matrix that carries the words of one language model, less their mean, nearest to those of another."""
    return torch.linalg.lstsq(old - old.mean(0), new - new.mean(0)).solution


def flattened(vectors: Float[Tensor, "b n d"], rank: int) -> Float[Tensor, "b n d"]:
    """Vectors in their own ``rank`` principal directions: as low as a rank can be for what a connector has learnt."""
    flat = vectors.flatten(0, 1)
    mean = flat.mean(0)
    axes = torch.linalg.svd(flat - mean, full_matrices=False).Vh[:rank]
    return (mean + (flat - mean) @ axes.mT @ axes).view_as(vectors)


def permutation(count: int, seed: int) -> Int[Tensor, "count"]:
    """Rows of a table in another order."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))
