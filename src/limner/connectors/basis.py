"""The language basis: a picture as a combination of the language model's own word vectors.

    l_i = head(f_i),   c_i = phi(l_i),   v_i = mu + gamma sum_j c_ij (e_j - mu)

Liao et al., LangBridge, arXiv:2503.19404 (coefficients of any sign); Masry et al., AlignVLM, arXiv:2502.01341 (convex
ones). Head, phi, basis and its tie to the table are exchangeable: `limner.connectors.scores`, ``coefficients``,
``bases``, ``controls``, ``ties``.

Ours are the centre ``mu``, the mean of the basis, and the learned gain. A softmax over K words of scores of unit
variance lies sqrt((e - 1) / K) of a word's length from the mean, 0.9 % for 19,200: all pictures look alike until a gain
undoes it. `LanguageBasis.settle` starts it so that v is as far from mu as words are.

Unconstrained coefficients over all words can make any vector: then the basis is no constraint, only a preconditioner of
the head (W E is an MLP's last factor). Convexity, few words, few directions, or another language model make it one.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from limner.connectors.bases import Basis, Span
from limner.connectors.coefficients import Phi
from limner.connectors.connector import Features, Words
from limner.connectors.mixing import FLOATS, mix
from limner.connectors.scores import ScoreHead
from limner.errors import InputError
from limner.types import Patches


class Leak(nn.Module):
    """What words cannot express: ``alpha R f`` with ``R`` of low rank and ``alpha`` learned from 0, whose size measures
    it.

    Args:
        features: channels of a patch.
        rank: of ``R``.
        width: channels of a word.
    """

    def __init__(self, features: int, rank: int, width: int) -> None:
        super().__init__()
        self.down = nn.Linear(features, rank, bias=False)
        self.up = nn.Linear(rank, width, bias=False)
        self.alpha = nn.Parameter(torch.zeros(()))

    def forward(self, features: Features) -> Float[Tensor, "b n d"]:
        return self.alpha * self.up(self.down(features))


class LanguageBasis(nn.Module):
    """A `limner.connectors.connector.Connector`, and a `Reader`.

    Args:
        head: patches to scores of the basis.
        phi: scores to coefficients.
        basis: what is mixed, from the table of words.
        centred: mix around the mean, with a learned gain; otherwise ``v = c E``, as LangBridge and AlignVLM have it.
        leak: what is added beside the words.
        floats: most coefficients that may exist at a time.
    """

    def __init__(
        self,
        head: ScoreHead,
        phi: Phi,
        basis: Basis,
        *,
        centred: bool = True,
        leak: Leak | None = None,
        floats: int = FLOATS,
    ) -> None:
        super().__init__()
        self.head, self.phi, self.basis, self.leak = head, phi, basis, leak
        self.log_gain = nn.Parameter(torch.zeros(())) if centred else None
        self.floats = floats

    def forward(self, patches: Patches, words: Words) -> Float[Tensor, "b n d"]:
        """One vector per patch."""
        if self.training and torch.is_grad_enabled():
            self.phi.passed()
        span, features = self.basis(words), patches.vectors
        vectors = self._mixed(features, span)
        if self.log_gain is not None:
            vectors = span.mean + self.log_gain.exp() * vectors
        return vectors if self.leak is None else vectors + self.leak(features)

    def _mixed(self, features: Features, span: Span) -> Float[Tensor, "b n d"]:
        """``sum_j c_j (e_j - mu)``, or where nothing is centred ``sum_j c_j e_j``."""
        origin = span.origin if self.log_gain is not None else span.origin - span.mean
        return mix(self._coefficients, self.head.hidden(features), span.rows, origin, floats=self.floats)

    def _coefficients(
        self, hidden: Float[Tensor, "n h"], rows: Float[Tensor, "entries d"]
    ) -> Float[Tensor, "n entries"]:
        return self.phi(self.head.scores(hidden, rows))

    def coefficients(self, features: Features, words: Words) -> Float[Tensor, "b n entries"]:
        """All of them at once; for pictures enough and vocabularies enough that is much memory."""
        hidden = self.head.hidden(features)
        flat = self._coefficients(hidden.flatten(0, 1), self.basis(words).rows)
        return flat.unflatten(0, hidden.shape[:2])

    @torch.no_grad()
    def top_words(
        self, patches: Patches, words: Words, count: int
    ) -> tuple[Int[Tensor, "b n count"], Float[Tensor, "b n count"]]:
        """Ids and weights of the words that weigh most in every patch, heaviest first: of the words that the vectors of
        the basis are made of, if they are mixtures themselves."""
        hidden, rows = self.head.hidden(patches.vectors), self.basis(words).rows
        ids, weights = [], []
        for some in hidden.flatten(0, 1).split(max(self.floats // len(words), 1)):
            top = self.basis.spread(self._coefficients(some, rows), len(words)).topk(count)
            ids.append(top.indices)
            weights.append(top.values)
        shape = hidden.shape[:2]
        return torch.cat(ids).unflatten(0, shape), torch.cat(weights).unflatten(0, shape)

    @torch.no_grad()
    def settle(self, words: Words, features: Features) -> None:
        """Decide what the basis is made of, and start the gain so that vectors of these features are as far from their
        mean as words from theirs, in root mean square."""
        self.basis.settle(words)
        if self.log_gain is not None:
            self.log_gain.copy_(-self._reach(features, words).log())

    @torch.no_grad()
    def swap(self, features: Features, old: Words, new: Float[Tensor, "v width"]) -> None:
        """Speak to another language model of the same vocabulary: the same words in its table, and a gain with which
        vectors of these features lie as many lengths of a word from the mean as before.

        Raises `InputError` if a leak, which knows no words, makes vectors of another width.
        """
        if self.leak is not None and old.shape[1] != new.shape[1]:
            raise InputError(
                f"a leak into {old.shape[1]} channels cannot follow to {new.shape[1]}: train without one to swap"
            )
        if self.log_gain is None:
            self.basis.adopt(new)
            return
        before = self._reach(features, old)
        self.basis.adopt(new)
        self.log_gain.add_((before / self._reach(features, new)).log())

    def _reach(self, features: Features, words: Words) -> Float[Tensor, ""]:
        """How far mixtures lie from their mean, in lengths of a word from the mean of words, before the gain."""
        mixed = self._mixed(features, self.basis(words)).float()
        return (mixed.square().mean() / words.float().var(0, unbiased=False).mean()).sqrt()
