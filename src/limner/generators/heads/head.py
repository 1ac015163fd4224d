"""What a head is, and the options of a draw."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable

from jaxtyping import Float, Shaped
from torch import Tensor

from limner.errors import InputError
from limner.processes.solvers import Solver
from limner.types import Rng, Tokens

Contexts = Float[Tensor, "b m d"]
HeadInput: TypeAlias = Any  # contexts, or, where the whole trunk denoises, a `Denoiser`: backbone and head must fit


@dataclass(frozen=True)
class SamplingOptions:
    """How tokens are drawn.

    ``guidance`` 1 is none; above 1 draws move away from the unconditional prediction (arXiv:2207.12598).
    ``temperature`` scales the randomness of each draw. ``head_steps`` counts the steps of a head that itself iterates
    (None: its own choice); ``solver`` replaces the sampler of a diffusion head by one of `limner.processes.solvers`,
    which needs fewer of them; ``top_k`` (0: all) and ``top_p`` cut the tail of a categorical head.
    """

    guidance: float = 1.0
    temperature: float = 1.0
    head_steps: int | None = None
    solver: Solver | None = None
    top_k: int = 0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        for name in ("guidance", "temperature", "top_k"):
            if not getattr(self, name) >= 0:
                raise InputError(f"{name} is {getattr(self, name)}, but must not be negative")
        if not 0 < self.top_p <= 1:
            raise InputError(f"top_p is {self.top_p}, but must be above 0 and at most 1")


@runtime_checkable
class Head(Protocol):
    """p(token | context)."""

    @property
    def embed(self) -> Callable[..., Tensor]:
        """Tokens to the vectors that the backbone reads."""

    def loss(self, contexts: HeadInput, tokens: Tokens, rng: Rng) -> Float[Tensor, "b m"]:
        """Training loss of each token."""

    def blank(self, batch: int, count: int) -> Tokens:
        """Placeholders of tokens not yet drawn, on the CPU."""

    def sample(self, contexts: HeadInput, guided: bool, options: SamplingOptions, rng: Rng) -> Tokens:
        """Draw one token per context. ``guided``: the second half of the rows are the same pictures' contexts without
        condition, and half as many rows are drawn."""


@runtime_checkable
class DiscreteHead(Head, Protocol):
    """A head whose tokens are ids, each of a known probability."""

    def guided_logits(self, contexts: Contexts, guided: bool, options: SamplingOptions) -> Float[Tensor, "rows m v"]:
        """Unnormalised log-probability of every id under guidance, before temperature and cuts."""

    def distribution(self, contexts: Contexts, guided: bool, options: SamplingOptions) -> Float[Tensor, "rows m v"]:
        """Probability of every id, from which ``sample`` draws."""


def discrete(head: Head) -> DiscreteHead:
    """The head as one of ids; raises `InputError` if its tokens are vectors."""
    if not isinstance(head, DiscreteHead):
        raise InputError(
            f"a {type(head).__name__} draws no ids and gives no probability of any: draw in the order's own steps, "
            "without top_k and top_p"
        )
    return head


@runtime_checkable
class IteratingHead(Head, Protocol):
    """A head that comes to a token step by step, in any number of them."""

    def most_steps(self, solver: Solver | None) -> int:
        """In how many steps at most it draws a token by this solver, None being its own sampler; 0 if it cannot."""


def check_steps(head: Head, options: SamplingOptions) -> None:
    """Raises `InputError` if the head cannot draw a token in the steps, or by the solver, that the options ask for."""
    name = type(head).__name__
    if not isinstance(head, IteratingHead):
        raise InputError(
            f"this model draws a token at once, by a {name}: leave out solver and head steps, which are of heads that "
            "denoise"
        )
    steps, most = options.head_steps, head.most_steps(options.solver)
    if not most:
        raise InputError(f"this model denoises by a sampler of its own, that of its {name}: leave out the solver")
    if steps is not None and not 1 <= steps <= most:
        raise InputError(f"{steps} head steps cannot be taken: choose from 1 to {most}")


def guide(predictions: Shaped[Tensor, "b *d"], strength: float) -> Shaped[Tensor, "half *d"]:
    """``u + g (c - u)`` of predictions with condition, then without (arXiv:2207.12598, Eq. 6); exactly ``c`` at 1."""
    conditional, unconditional = predictions.chunk(2)
    if strength == 1.0:
        return conditional
    return unconditional + strength * (conditional - unconditional)
