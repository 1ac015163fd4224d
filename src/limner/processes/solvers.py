r"""Fewer steps from noise to data: the probability flow of a diffusion, solved as a differential equation.

With alpha^2 + sigma^2 = 1 at each noise level, ``y = x / alpha`` and ``s = sigma / alpha`` flow by  dy/ds = epsilon.

    DDIM           Euler's rule:  y_t = y_s + (s_t - s_s) epsilon       (Song et al., arXiv:2010.02502, Eq. 12-14)
    Heun           the mean of epsilon at both ends of the stride       (Karras et al., arXiv:2206.00364, Algorithm 1)
    DPM-Solver++   below; as DDIM, the network runs once per stride   (Lu et al., arXiv:2211.01095, Algorithm 2)

DPM-Solver++ 2M integrates the linear part of the flow exactly and extrapolates the network's estimate of the data from
the last two visited noise levels. With lambda = log(alpha / sigma), a stride from level s to level t of length
h = lambda_t - lambda_s is

    x_0(s) = (x_s - sigma_s epsilon(x_s, s)) / alpha_s
    x_t    = sigma_t / sigma_s x_s + alpha_t (1 - exp(-h)) (x_0(s) + h / h' (x_0(s) - x_0(s')) / 2)

where s' was visited before s, h' strides before. The last stride of each, to no noise at all, is x_0. None draws noise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float
from torch import Tensor

from limner.processes.diffusion import Schedule

State = Float[Tensor, "*rows c"]
Epsilon = Callable[[Tensor, int], Tensor]
Solver = Callable[[Epsilon, Schedule, Sequence[int], Tensor], Tensor]  # through falling timesteps from noise to data


def linspace_timesteps(total: int, steps: int) -> list[int]:
    """``steps`` timesteps from ``total - 1`` down, evenly spaced as if 0 were one more; halves are rounded to even."""
    if not 1 <= steps < total:
        raise ValueError(f"a process of {total} steps cannot be taken in {steps}")
    return np.linspace(0, total - 1, steps + 1).round().astype(int)[:0:-1].tolist()


def quiet_timesteps(schedule: Schedule, steps: int, most: float = 80.0) -> list[int]:
    """`linspace_timesteps` from the noisiest level whose noise is at most ``most`` times the signal.

    What lies beyond holds next to nothing of the data, and a solver multiplies an error of epsilon there by that ratio
    (80: Karras et al., arXiv:2206.00364, Table 1).
    """
    return linspace_timesteps(quiet_levels(schedule, most), steps)


def quiet_levels(schedule: Schedule, most: float = 80.0) -> int:
    """How many levels there are whose noise is at most ``most`` times the signal."""
    ratio = np.sqrt(1.0 / schedule.signal - 1.0)
    return int(np.searchsorted(ratio, most, side="right"))


def ddim(epsilon: Epsilon, schedule: Schedule, timesteps: Sequence[int], x: State) -> State:
    """Follow the flow of ``schedule`` from noise ``x`` through ``timesteps``, falling, to data; of first order."""
    for t, (alpha, sigma), (next_alpha, next_sigma) in _strides(schedule, timesteps):
        noise = epsilon(x, t)
        x = next_alpha * (x - sigma * noise) / alpha + next_sigma * noise
    return x


def heun(epsilon: Epsilon, schedule: Schedule, timesteps: Sequence[int], x: State) -> State:
    """As `ddim`, of second order, asking twice per stride but the last."""
    for index, (t, (alpha, sigma), (next_alpha, next_sigma)) in enumerate(_strides(schedule, timesteps), 1):
        y, noise, stride = x / alpha, epsilon(x, t), next_sigma / next_alpha - sigma / alpha
        x = next_alpha * (y + stride * noise)
        if index < len(timesteps):
            noise = (noise + epsilon(x, timesteps[index])) / 2.0
            x = next_alpha * (y + stride * noise)
    return x


Level = tuple[float, float]


def _strides(schedule: Schedule, timesteps: Sequence[int]) -> list[tuple[int, Level, Level]]:
    """Each timestep with its ``(alpha, sigma)`` and those it leads to, (1, 0) at the end."""
    levels = [(math.sqrt(schedule.signal[t]), math.sqrt(1.0 - schedule.signal[t])) for t in timesteps]
    return list(zip(timesteps, levels, [*levels[1:], (1.0, 0.0)], strict=True))


def dpm_solver_2m(epsilon: Epsilon, schedule: Schedule, timesteps: Sequence[int], x: State) -> State:
    """Follow the flow of ``schedule`` from noise ``x`` through ``timesteps``, falling, to data.

    The first stride has no history and the last no noise to go to, so both are of first order.
    """
    before: tuple[Tensor, float] | None = None
    for t, (alpha, sigma), (next_alpha, next_sigma) in _strides(schedule, timesteps):
        data = (x - sigma * epsilon(x, t)) / alpha
        if next_sigma == 0.0:
            return data
        shrink = (next_sigma / next_alpha) / (sigma / alpha)  # exp(-h)
        h = -math.log(shrink)
        ahead = data if before is None else data + h / before[1] / 2.0 * (data - before[0])
        x = next_sigma / sigma * x + next_alpha * (1.0 - shrink) * ahead
        before = data, h
    return x


SOLVERS: dict[str, Solver | None] = {"ancestral": None, "ddim": ddim, "heun": heun, "dpm++": dpm_solver_2m}
"""By the names that people give them; the first is the reverse process itself, which draws noise at every step."""
