r"""Fewer steps from noise to data: the probability flow of a diffusion solved by a multistep method.

DPM-Solver++ 2M (Lu et al., arXiv:2211.01095, Algorithm 2) integrates the linear part of the flow exactly and
extrapolates the network's estimate of the data from the last two visited noise levels. With alpha^2 + sigma^2 = 1 and
lambda = log(alpha / sigma), a stride from level s to level t of length h = lambda_t - lambda_s is

    x_0(s) = (x_s - sigma_s epsilon(x_s, s)) / alpha_s
    x_t    = sigma_t / sigma_s x_s + alpha_t (1 - exp(-h)) (x_0(s) + h / h' (x_0(s) - x_0(s')) / 2)

where s' was visited before s, h' strides before. The last stride, to no noise at all, is x_0.
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


def linspace_timesteps(total: int, steps: int) -> list[int]:
    """``steps`` timesteps from ``total - 1`` down, evenly spaced as if 0 were one more; halves are rounded to even."""
    if not 1 <= steps < total:
        raise ValueError(f"a process of {total} steps cannot be taken in {steps}")
    return np.linspace(0, total - 1, steps + 1).round().astype(int)[:0:-1].tolist()


def dpm_solver_2m(epsilon: Epsilon, schedule: Schedule, timesteps: Sequence[int], x: State) -> State:
    """Follow the flow of ``schedule`` from noise ``x`` through ``timesteps``, falling, to data.

    The first stride has no history and the last no noise to go to, so both are of first order.
    """
    levels = [(math.sqrt(schedule.signal[t]), math.sqrt(1.0 - schedule.signal[t])) for t in timesteps]
    before: tuple[Tensor, float] | None = None
    for index, (alpha, sigma) in enumerate(levels[:-1]):
        next_alpha, next_sigma = levels[index + 1]
        shrink = (next_sigma / next_alpha) / (sigma / alpha)  # exp(-h)
        h = -math.log(shrink)
        data = (x - sigma * epsilon(x, timesteps[index])) / alpha
        ahead = data if before is None else data + h / before[1] / 2.0 * (data - before[0])
        x = next_sigma / sigma * x + next_alpha * (1.0 - shrink) * ahead
        before = data, h
    alpha, sigma = levels[-1]
    return (x - sigma * epsilon(x, timesteps[-1])) / alpha
