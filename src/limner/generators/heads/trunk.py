"""The head of a backbone that denoises by itself: all that is left is to embed tokens and to read off the answer.

    a = output(contexts(embed(x_t), t)),    x_t and what ``a`` should be by a noise process

    flow        x_t = (1 - t) x + t epsilon, t logit-normal:  a = epsilon - x       (xAR, arXiv:2502.20388)
    diffusion   x_t by DDPM's linear schedule, t uniform:     a = epsilon           (ACDiT, arXiv:2412.07720)
                or  a = v = alpha epsilon - sigma x               (Salimans & Ho, arXiv:2202.00512, Appendix D)

Each block of tokens has its own t. To draw a block, the process runs from noise, asking at every noise level.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from limner.generators.backbones.backbone import Denoiser
from limner.generators.heads.head import SamplingOptions, guide
from limner.processes import diffusion, flow
from limner.processes.solvers import Solver, dpm_solver_2m, linspace_timesteps
from limner.types import Latents, Rng

TIMESTEPS = 1000  # in the scale of the trunk
Ask = Callable[[Tensor, int], Tensor]  # the network's answer to a noised state at a timestep in 0 .. 1000


@runtime_checkable
class Process(Protocol):
    """What is noised, learned and solved."""

    def times(self, batch: int, levels: int, rng: Rng) -> Tensor:
        """Noise levels of a training batch, ``[b levels]``, in the unit of the process."""

    def timesteps(self, times: Tensor) -> Int[Tensor, "*rows"]:
        """As the trunk reads them, in 0 .. 1000."""

    def noised(self, tokens: Latents, times: Tensor, noise: Latents) -> tuple[Latents, Latents]:
        """Tokens under noise, each at its time, and the answer that is wanted."""

    def solve(
        self, ask: Ask, start: Latents, draw: Callable[[], Latents], steps: int | None, temperature: float
    ) -> Latents:
        """Tokens from noise; None leaves the number of steps to the process."""


@dataclass(frozen=True)
class Flow:
    """Straight paths, the velocity, Euler-Maruyama or Euler in float64; times are in [0, 1]."""

    steps: int = 50
    stochastic: bool = True

    def times(self, batch: int, levels: int, rng: Rng) -> Float[Tensor, "b levels"]:
        return rng.normal(batch, levels).sigmoid()

    def timesteps(self, times: Float[Tensor, "*rows"]) -> Int[Tensor, "*rows"]:
        return (1000 * times).long()

    def noised(self, tokens: Latents, times: Float[Tensor, "b n"], noise: Latents) -> tuple[Latents, Latents]:
        return flow.noised(tokens, noise, times[..., None]), noise - tokens

    def solve(
        self, ask: Ask, start: Latents, draw: Callable[[], Latents], steps: int | None, temperature: float
    ) -> Latents:
        """``temperature`` scales the noise of the SDE, or that from which the flow starts."""

        def velocity(x: Tensor, t: float) -> Tensor:
            return ask(x, int(self.timesteps(torch.tensor(t))))

        start, count = start.double(), self.steps if steps is None else steps
        if not self.stochastic:
            return flow.euler(velocity, start * temperature, flow.euler_times(count))
        times = flow.late_times(count)
        return flow.euler_maruyama(velocity, start, times, lambda: draw().double(), temperature=temperature)


@dataclass(frozen=True)
class Diffusion:
    """Gaussian diffusion, epsilon or the ``velocity``, DPM-Solver++ 2M; times are timesteps of the schedule. An error
    of epsilon is multiplied by 157 in the first step, one of the velocity by 1."""

    steps: int = 25
    schedule: diffusion.Schedule = field(default_factory=diffusion.linear_schedule)
    velocity: bool = False

    def times(self, batch: int, levels: int, rng: Rng) -> Int[Tensor, "b levels"]:
        return (rng.uniform(batch, levels) * len(self.schedule)).long()

    def timesteps(self, times: Int[Tensor, "*rows"]) -> Int[Tensor, "*rows"]:
        return times

    def noised(self, tokens: Latents, times: Int[Tensor, "b n"], noise: Latents) -> tuple[Latents, Latents]:
        noised = diffusion.add_noise(self.schedule, tokens, times, noise)
        return noised, diffusion.velocity_of(self.schedule, tokens, noise, times) if self.velocity else noise

    def solve(
        self, ask: Ask, start: Latents, draw: Callable[[], Latents], steps: int | None, temperature: float
    ) -> Latents:
        """``temperature`` scales the noise at the start, the only one."""

        def epsilon(x: Tensor, t: int) -> Tensor:
            answer = ask(x, t)
            if not self.velocity:
                return answer
            return diffusion.epsilon_of_velocity(self.schedule, answer, x, torch.full((1, 1), t, device=x.device))

        timesteps = linspace_timesteps(len(self.schedule), self.steps if steps is None else steps)
        return dpm_solver_2m(epsilon, self.schedule, timesteps, temperature * start)


class TrunkHead(nn.Module):
    """Continuous tokens by a trunk that denoises.

    Args:
        channels: of a token.
        width: of the trunk.
        process: the noise.
        bias: of the embedding.
    """

    def __init__(self, channels: int, width: int, process: Process, *, bias: bool = True) -> None:
        super().__init__()
        self.channels, self.process = channels, process
        self.embed = nn.Linear(channels, width, bias)
        self.output = nn.Linear(width, channels)
        nn.init.xavier_uniform_(self.embed.weight)
        for parameter in (self.embed.bias, self.output.weight, self.output.bias):
            if parameter is not None:
                nn.init.zeros_(parameter)

    def loss(self, contexts: Denoiser, tokens: Latents, rng: Rng) -> Float[Tensor, "b n"]:
        """Squared error of the answer, a mean over channels."""
        times = self.process.times(len(tokens), contexts.levels, rng)
        noise = rng.normal(*tokens.shape)
        noised, target = self.process.noised(tokens.float(), times.gather(1, contexts.level), noise)
        return (self.answer(contexts, noised, self.process.timesteps(times)) - target).square().mean(-1)

    def answer(
        self, contexts: Denoiser, noised: Float[Tensor, "b n c"], t: Int[Tensor, "rows levels"]
    ) -> Float[Tensor, "rows n c"]:
        """What the trunk makes of noised tokens; of twice as many rows where ``t`` has."""
        embedded = self.embed(noised.to(self.embed.weight.dtype))
        return self.output(contexts(embedded.repeat(len(t) // len(noised), 1, 1), t)).to(noised.dtype)

    def blank(self, batch: int, count: int) -> Latents:
        """Placeholders of tokens not yet drawn."""
        return torch.zeros(batch, count, self.channels)

    def most_steps(self, solver: Solver | None) -> int:
        """A step per timestep that the trunk knows; by its own process alone."""
        return TIMESTEPS - 1 if solver is None else 0

    def sample(self, contexts: Denoiser, guided: bool, options: SamplingOptions, rng: Rng) -> Float[Tensor, "rows m c"]:
        """The process from noise; guidance acts on the answer, and costs nothing where it is 1."""
        shape = (len(contexts.level) // (2 if guided else 1), contexts.level.shape[1], self.channels)
        pushed = guided and options.guidance != 1.0
        rows = shape[0] * (2 if pushed else 1)

        def ask(x: Tensor, t: int) -> Tensor:
            answer = self.answer(contexts, x, torch.full((rows, 1), t, device=x.device))
            return guide(answer, options.guidance) if pushed else answer

        start = rng.normal(*shape)
        drawn = self.process.solve(ask, start, lambda: rng.normal(*shape), options.head_steps, options.temperature)
        return drawn.float()
