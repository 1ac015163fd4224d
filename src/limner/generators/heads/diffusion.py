"""MAR's diffusion loss: a small MLP that denoises one token given its context (arXiv:2406.11838, Eq. 1, Section 3.2).

``L(z, x) = E |epsilon - epsilon_theta(x_t | t, z)|^2``, several draws of ``t`` per context; to draw a token, run the
reverse process from noise. So p(x | z) of a continuous token needs no codebook.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from limner.generators.heads.head import Contexts, SamplingOptions, guide
from limner.nn.timesteps import FREQUENCIES, timestep_features
from limner.processes import diffusion
from limner.processes.solvers import Solver, quiet_levels, quiet_timesteps
from limner.types import Latents, Rng

AHEAD = 256  # rows for which modulations are made at once in drawing: their weights, most of the MLP's, are read once


class ModulatedMlp(nn.Module):
    """Residual MLP whose LayerNorm is shifted, scaled and gated by the condition (Peebles & Xie, arXiv:2212.09748)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.fc1 = nn.Linear(width, width)
        self.fc2 = nn.Linear(width, width)
        self.modulation = nn.Linear(width, 3 * width)

    def forward(self, x: Tensor, modulation: Tensor) -> Tensor:
        """``modulation``: shift, scale and gate, by the linear map of that name."""
        shift, scale, gate = modulation.chunk(3, dim=-1)
        return x + gate * self.fc2(functional.silu(self.fc1(self.norm(x) * (1 + scale) + shift)))


class DenoisingMlp(nn.Module):
    """``(x_t [..., c], t [...], z [..., d]) -> [epsilon | v] [..., 2c]``."""

    def __init__(self, channels: int, context: int, *, width: int, depth: int) -> None:
        super().__init__()
        self.time1, self.time2 = nn.Linear(FREQUENCIES, width), nn.Linear(width, width)
        self.context = nn.Linear(context, width)
        self.input = nn.Linear(channels, width)
        self.blocks = nn.ModuleList(ModulatedMlp(width) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)
        self.modulation = nn.Linear(width, 2 * width)
        self.output = nn.Linear(width, 2 * channels)
        self.initialise()

    def initialise(self) -> None:
        """Xavier weights; modulation and output at zero, so that the net starts by predicting nothing."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        for layer in (self.time1, self.time2):
            nn.init.normal_(layer.weight, std=0.02)
        for name, parameter in self.named_parameters():
            if "modulation" in name or name.startswith("output"):
                nn.init.zeros_(parameter)

    def forward(self, x: Float[Tensor, "*rows c"], t: Int[Tensor, "*#rows"], z: Float[Tensor, "*rows d"]) -> Tensor:
        """``[epsilon | v]``; rows of one t may share it by broadcasting. Noised tokens are fp32 always."""
        return self.denoise(x, self.modulations(t, z))

    def modulations(self, t: Int[Tensor, "*#rows"], z: Float[Tensor, "*#rows d"]) -> list[Tensor]:
        """The modulations of all blocks, then of the last norm: they do not depend on x."""
        time = self.time2(functional.silu(self.time1(timestep_features(t).to(self.input.weight.dtype))))
        condition = functional.silu(time + self.context(z))
        return [part.modulation(condition) for part in (*self.blocks, self)]

    def denoise(self, x: Float[Tensor, "*rows c"], modulations: Sequence[Tensor]) -> Float[Tensor, "*rows c2"]:
        """The answer to noised tokens under these modulations."""
        x = self.input(x.to(self.input.weight.dtype))
        for block, modulation in zip(self.blocks, modulations[:-1], strict=True):
            x = block(x, modulation)
        shift, scale = modulations[-1].chunk(2, dim=-1)
        return self.output(self.norm(x) * (1 + scale) + shift)


class ModulationsAhead:
    """The modulations of one drawing, made for several of the noise levels ahead at once.

    Args:
        network: whose.
        timesteps: in the order in which they will be visited.
        z: contexts of the tokens that are drawn.
    """

    def __init__(self, network: DenoisingMlp, timesteps: Sequence[int], z: Float[Tensor, "b m d"]) -> None:
        self.network, self.timesteps, self.z = network, list(timesteps), z
        self.levels = max(1, AHEAD // z[..., 0].numel())
        self.made: dict[int, list[Tensor]] = {}

    def at(self, timestep: int) -> list[Tensor]:
        """Those of one noise level."""
        if timestep not in self.made:
            first = self.timesteps.index(timestep)
            levels = self.timesteps[first : first + self.levels]
            made = self.network.modulations(torch.tensor(levels, device=self.z.device)[:, None, None], self.z)
            self.made = {level: [part[place] for part in made] for place, level in enumerate(levels)}
        return self.made[timestep]


class Traced(NamedTuple):
    """Tokens with the end of the reverse process that drew them: the Gaussian of its last step, whose mean they are,
    and the sum of the log deviations of all steps before."""

    x: Float[Tensor, "rows m c"]
    mean: Float[Tensor, "rows m c"]
    deviation: Float[Tensor, "rows m c"]
    before: Float[Tensor, "rows m c"]


class DiffusionHead(nn.Module):
    """Continuous tokens by diffusion.

    Args:
        channels: of a token.
        context: width of the backbone.
        width, depth: of the denoising MLP.
        draws: timesteps per context and training step.
        steps: of the reverse process when drawing, out of 1000: how many, evenly spaced, or which.
        velocity: let the MLP predict the velocity, from which epsilon follows; False is the paper's. An error of
            epsilon is multiplied by 314 in the first of 100 steps, one of velocity by 1: short trainings need it.
        emphasis: largest weight of a timestep's squared error. 1 is the paper's; above it, timesteps weigh
            ``1 / alpha_bar`` up to this, the error of the velocity (arXiv:2202.00512, Section 4), so that what is
            decided under much noise, which is what to draw, is learned sooner.
    """

    def __init__(
        self,
        channels: int,
        context: int,
        *,
        width: int,
        depth: int,
        draws: int = 4,
        steps: int | Sequence[int] = 100,
        velocity: bool = False,
        emphasis: float = 1.0,
    ) -> None:
        super().__init__()
        self.channels, self.draws, self.steps = channels, draws, steps
        self.embed = nn.Linear(channels, context)
        self.network = DenoisingMlp(channels, context, width=width, depth=depth)
        self.schedule = diffusion.cosine_schedule()
        self.velocity = velocity
        self.weight = torch.from_numpy(np.minimum(1.0 / self.schedule.signal, emphasis)).float()

    def loss(self, contexts: Contexts, tokens: Latents, rng: Rng) -> Float[Tensor, "b m"]:
        """Squared error of the noise plus the bound that teaches its variance, averaged over ``draws`` timesteps."""
        error, bound = self.losses(contexts, tokens, rng)
        return (error + bound).mean(0)

    def losses(
        self, contexts: Contexts, tokens: Latents, rng: Rng
    ) -> tuple[Float[Tensor, "draws b m"], Float[Tensor, "draws b m"]]:
        """The two parts, weighted, per draw."""
        batch, count, channels = tokens.shape
        rows = (self.draws, batch, count)
        draw = rng.along(1)
        t = (draw.uniform(*rows) * len(self.schedule)).long()
        noise = draw.normal(*rows, channels)
        z = contexts.expand(self.draws, -1, -1, -1)
        tokens = tokens.float().expand(self.draws, -1, -1, -1)
        error, bound = diffusion.denoising_losses(lambda x, t: self.predict(x, t, z), self.schedule, tokens, t, noise)
        return self.weight.to(t.device)[t] * error, bound

    def predict(self, x: Float[Tensor, "*rows c"], t: Int[Tensor, "*#rows"], z: Float[Tensor, "*rows d"]) -> Tensor:
        """``[epsilon | v]`` as the process wants it, v for the variance."""
        return self._noise(self.network(x, t, z), x, t)

    def _noise(self, output: Tensor, x: Tensor, t: Tensor) -> Tensor:
        """What the MLP answers as ``[epsilon | v]``."""
        if not self.velocity:
            return output
        velocity, variance = output.float().chunk(2, dim=-1)
        return torch.cat([diffusion.epsilon_of_velocity(self.schedule, velocity, x, t), variance], dim=-1)

    def blank(self, batch: int, count: int) -> Latents:
        """Placeholders of tokens not yet drawn."""
        return torch.zeros(batch, count, self.channels)

    def most_steps(self, solver: Solver | None) -> int:
        """All noise levels for the reverse process; for a solver those that are not all noise."""
        return len(self.schedule) if solver is None else quiet_levels(self.schedule) - 1

    def count_steps(self, options: SamplingOptions) -> int:
        """Of the reverse process under these options."""
        steps = self.steps if options.head_steps is None else options.head_steps
        return steps if isinstance(steps, int) else len(steps)

    def sample(self, contexts: Contexts, guided: bool, options: SamplingOptions, rng: Rng) -> Float[Tensor, "rows m c"]:
        """Reverse diffusion; guidance acts on epsilon, the variance stays the conditional one's. A solver follows the
        flow instead, in which the noise at the start is the only one that ``temperature`` can scale."""
        shape = (len(contexts) // 2 if guided else len(contexts), contexts.shape[1], self.channels)
        steps, start = self.steps if options.head_steps is None else options.head_steps, rng.normal(*shape)
        if options.solver is None:
            return self.trace(contexts, guided, options, start, lambda: rng.normal(*shape)).x
        timesteps = quiet_timesteps(self.schedule, steps) if isinstance(steps, int) else sorted(steps, reverse=True)
        answer = self._answers(contexts, guided, options, timesteps)

        def epsilon(x: Tensor, t: int) -> Tensor:
            return answer(x, torch.full((1, 1), t, device=x.device)).float().chunk(2, dim=-1)[0]

        return options.solver(epsilon, self.schedule, timesteps, options.temperature * start)

    def trace(
        self,
        contexts: Contexts,
        guided: bool,
        options: SamplingOptions,
        start: Float[Tensor, "rows m c"],
        draw: Callable[[], Float[Tensor, "rows m c"]],
    ) -> Traced:
        """Reverse diffusion from ``start``, with a fresh ``draw()`` per step, and how it ended."""
        schedule = diffusion.respaced(self.schedule, self.steps if options.head_steps is None else options.head_steps)
        network = self._answers(contexts, guided, options, schedule.timesteps[::-1].tolist())
        before, last = torch.zeros_like(start), None
        for state in diffusion.steps_back(network, schedule, start, draw, temperature=options.temperature):
            before = before if last is None else before + 0.5 * last.log_variance
            last = state
        assert last is not None, "a schedule has a step"
        return Traced(last.x, last.mean, (0.5 * last.log_variance).exp() * options.temperature, before)

    def _answers(
        self, contexts: Contexts, guided: bool, options: SamplingOptions, timesteps: Sequence[int]
    ) -> diffusion.Network:
        """``[epsilon | v]`` under guidance, at these timesteps one after the other."""
        ahead = ModulationsAhead(self.network, timesteps, contexts)

        def answer(x: Tensor, t: Tensor) -> Tensor:
            x = torch.cat([x, x]) if guided else x
            predicted = self._noise(self.network.denoise(x, ahead.at(int(t.flatten()[0]))), x, t)
            if not guided:
                return predicted
            epsilon, v = predicted.chunk(2, dim=-1)
            return torch.cat([guide(epsilon, options.guidance), v.chunk(2)[0]], dim=-1)

        return answer
