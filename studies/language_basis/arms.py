"""The connectors that are compared. All start around the mean of the words, as far from it as words are, and have as
many parameters as each other, within 5 %:

    MLP         v = W2 gelu(W1 f)
    basis       v = mu + gain phi(W2 gelu(W1 f)) (E - mu),    W2 has a row per vector of the basis
    rank r      the same over r vectors, phi the identity: affine in an r-dimensional space

The wider a basis, the narrower W1. Mixing costs operations and no parameters; both are counted in `costs`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from limner.connectors.bases import AllWords, Basis, ChosenWords, Clusters, Principal, random_subset
from limner.connectors.basis import LanguageBasis, Leak
from limner.connectors.coefficients import Phi, Softmax, Unconstrained
from limner.connectors.connector import Words
from limner.connectors.controls import Learned, Matched
from limner.connectors.mlp import MlpConnector
from limner.connectors.scores import DenseHead
from limner.types import derive_seed
from studies.language_basis.controls import (
    Directions,
    Narrowing,
    PreconditionedMlp,
    permutation,
    settle_mlp,
)

PARAMETERS = 24_896  # of every arm, within 5 %: a head over 256 words behind a trunk of 64 channels
TAU = 1.0
FEW = 8  # words of a patch, after the narrowing
LEAK = 8  # rank of what is added beside the words
LEARNED = 128  # vectors of a table of its own, which counts as parameters
RANKS = (4, 8, 16, 32)
SHARES = (8, 26, 77)  # words, of 256: 3, 10 and 30 %


@dataclass(frozen=True)
class Given:
    """What an arm is built from: the table of words, features to start by, words by frequency, the passes that training
    will take, and a seed."""

    words: Words
    features: Float[Tensor, "b n f"]
    ranking: Int[Tensor, "v"]
    passes: int
    seed: int


Build: TypeAlias = Callable[[Given], nn.Module]


@dataclass(frozen=True)
class Arm:
    """A connector under study: ``build`` gives it ready to be trained."""

    name: str
    title: str
    build: Build


def trunk(given: Given, outputs: int, own: int = 0) -> tuple[nn.Module, int]:
    """``gelu(W1 f)``, as wide as leaves `PARAMETERS` after ``own`` others and a layer of ``outputs`` on top."""
    features = given.features.shape[-1]
    hidden = (PARAMETERS - own - outputs) // (features + 1 + outputs)
    return nn.Sequential(nn.Linear(features, hidden), nn.GELU()), hidden


def _mlp(kind: type[MlpConnector], normalised: bool) -> Build:
    def build(given: Given) -> MlpConnector:
        torch.manual_seed(derive_seed(given.seed, "connector"))
        _, hidden = trunk(given, given.words.shape[1])
        made = kind(given.features.shape[-1], given.words.shape[1], normalised=normalised, hidden=hidden)
        if not normalised:
            settle_mlp(made, given.words, given.features)
        if isinstance(made, PreconditionedMlp):
            made.precondition(given.words)
        return made

    return build


def _mixed(
    basis: Callable[[Given], Basis], phi: Callable[[Given], Phi], *, own: bool = False, leaks: bool = False
) -> Build:
    def build(given: Given) -> LanguageBasis:
        torch.manual_seed(derive_seed(given.seed, "connector"))
        mixed, width = basis(given), given.words.shape[1]
        leak = Leak(given.features.shape[-1], LEAK, width) if leaks else None
        extra = (mixed.size * width if own else 0) + (parameters(leak) if leak is not None else 0)
        layers, hidden = trunk(given, mixed.size, extra)
        made = LanguageBasis(DenseHead(layers, hidden, mixed.size), phi(given), mixed, leak=leak)
        made.settle(given.words, given.features)
        return made

    return build


def _words(given: Given) -> Basis:
    return AllWords(len(given.words))


def _matched(given: Given) -> Basis:
    return Matched(len(given.words), given.words.shape[1], derive_seed(given.seed, "matched"))


def _permuted(given: Given) -> Basis:
    return ChosenWords(permutation(len(given.words), derive_seed(given.seed, "permuted")))


def _learned(given: Given) -> Basis:
    return Learned(LEARNED, given.words.shape[1])


def _principal(rank: int) -> Callable[[Given], Basis]:
    return lambda given: Principal(len(given.words), rank)


def _directions(rank: int) -> Callable[[Given], Basis]:
    return lambda given: Directions(rank, given.words.shape[1], derive_seed(given.seed, "directions"))


def _clusters(count: int) -> Callable[[Given], Basis]:
    return lambda given: Clusters(len(given.words), count, derive_seed(given.seed, "clusters"))


def _frequent(count: int) -> Callable[[Given], Basis]:
    return lambda given: ChosenWords(given.ranking[:count].sort().values)


def _subset(count: int) -> Callable[[Given], Basis]:
    return lambda given: ChosenWords(random_subset(len(given.words), count, derive_seed(given.seed, "subset")))


def free(given: Given) -> Phi:
    """Coefficients of any sign."""
    return Unconstrained()


def convex(given: Given) -> Phi:
    """Coefficients that are shares."""
    return Softmax(TAU)


def few(given: Given) -> Phi:
    """Shares of a few, in the second half of a training."""
    return Narrowing(FEW, given.passes // 2, TAU)


ALL = (
    Arm("mlp", "MLP", _mlp(MlpConnector, False)),
    Arm("mlp-preconditioned", "MLP, gradient preconditioned by E'E", _mlp(PreconditionedMlp, False)),
    Arm("mlp-normed", "MLP, vectors as long as words", _mlp(MlpConnector, True)),
    Arm("free-words", "unconstrained, words", _mixed(_words, free)),
    Arm("free-matched", "unconstrained, matched random rows", _mixed(_matched, free)),
    Arm("free-permuted", "unconstrained, permuted words", _mixed(_permuted, free)),
    Arm("soft-words", "softmax, words", _mixed(_words, convex)),
    Arm("soft-matched", "softmax, matched random rows", _mixed(_matched, convex)),
    Arm("soft-learned", "softmax, learned table (Ovis)", _mixed(_learned, convex, own=True)),
    Arm("soft-words-leak", "softmax, words, and a leak", _mixed(_words, convex, leaks=True)),
    Arm("few-words", f"top-{FEW}, words", _mixed(_words, few)),
    Arm("few-matched", f"top-{FEW}, matched random rows", _mixed(_matched, few)),
    *(Arm(f"svd-{rank}", f"SVD, rank {rank}", _mixed(_principal(rank), free)) for rank in RANKS),
    *(Arm(f"random-{rank}", f"random directions, rank {rank}", _mixed(_directions(rank), free)) for rank in RANKS),
    *(Arm(f"clusters-{rank}", f"{rank} clusters of words", _mixed(_clusters(rank), free)) for rank in RANKS),
    *(Arm(f"frequent-{rank}", f"{rank} most frequent words", _mixed(_frequent(rank), free)) for rank in RANKS),
    *(Arm(f"subset-{rank}", f"{rank} words at random", _mixed(_subset(rank), free)) for rank in RANKS),
    *(Arm(f"soft-frequent-{k}", f"softmax, {k} most frequent words", _mixed(_frequent(k), convex)) for k in SHARES),
)
ARMS = {arm.name: arm for arm in ALL}


def parameters(connector: nn.Module) -> int:
    """Numbers that are trained."""
    return sum(parameter.numel() for parameter in connector.parameters() if parameter.requires_grad)
