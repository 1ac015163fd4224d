"""Processes lead from noise to data: to Gaussians, of which the best answer of a network is known exactly."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from limner.processes import diffusion, flow
from limner.processes.solvers import Solver, ddim, dpm_solver_2m, heun, linspace_timesteps, quiet_timesteps

MEAN, DEVIATION, ROWS = 0.7, 0.4, 20_000


def gaussian(share: float, noise: float, x: Tensor) -> tuple[Tensor, Tensor]:
    """Means of data and of noise given ``x = share * data + noise * epsilon``."""
    rest = (x - share * MEAN) / (share**2 * DEVIATION**2 + noise**2)
    return MEAN + share * DEVIATION**2 * rest, noise * rest


def velocity(x: Tensor, t: float) -> Tensor:
    data, epsilon = gaussian(1 - t, t, x)
    return epsilon - data


def by_flow(start: Tensor, steps: int) -> Tensor:
    return flow.euler(velocity, start, flow.euler_times(steps))


def by_noise(start: Tensor, steps: int) -> Tensor:
    draws = torch.Generator().manual_seed(1)
    draw = lambda: torch.randn(start.shape, generator=draws, dtype=start.dtype)  # noqa: E731
    return flow.euler_maruyama(velocity, start, flow.late_times(steps), draw)


def by_dpm_solver(start: Tensor, steps: int) -> Tensor:
    schedule = diffusion.linear_schedule()

    def epsilon(x: Tensor, t: int) -> Tensor:
        signal = float(schedule.signal[t])
        return gaussian(signal**0.5, (1 - signal) ** 0.5, x)[1]

    return dpm_solver_2m(epsilon, schedule, linspace_timesteps(1000, steps), start)


@pytest.mark.parametrize(
    ("solve", "steps", "bound"), [(by_flow, 100, 0.02), (by_noise, 200, 0.03), (by_dpm_solver, 20, 0.03)]
)
def test_moments_of_the_data(solve: Callable[[Tensor, int], Tensor], steps: int, bound: float) -> None:
    start = torch.randn(ROWS, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = solve(start, steps)
    assert float(x.mean()) == pytest.approx(MEAN, abs=bound)
    assert float(x.std()) == pytest.approx(DEVIATION, abs=bound)


# Solvers of the flow, on a schedule so fine that strides can be even in log(sigma / alpha)

FINE = diffusion.cosine_schedule(20_000)
RATIO = np.sqrt(1 / FINE.signal - 1)
SOLVERS = [pytest.param(ddim, 1, id="ddim"), pytest.param(heun, 2, id="heun"), pytest.param(dpm_solver_2m, 2, id="dpm")]


def even(strides: int) -> list[int]:
    """Timesteps from much noise to little, whose ratios to the signal are evenly spaced in the logarithm."""
    return np.searchsorted(RATIO, np.geomspace(20, 0.05, strides + 1)).tolist()


def level(t: int) -> tuple[float, float]:
    return float(FINE.signal[t]) ** 0.5, float(1 - FINE.signal[t]) ** 0.5


def starts() -> Tensor:
    return torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]


def of_gaussian(x: Tensor, t: int) -> Tensor:
    return gaussian(*level(t), x)[1]


def of_two(x: Tensor, t: int) -> Tensor:
    """Noise of data that are one of two Gaussians, at ``MEAN`` and at ``-MEAN``."""
    alpha, sigma = level(t)
    share = torch.sigmoid(2 * alpha * MEAN * x / (alpha**2 * DEVIATION**2 + sigma**2))
    return share * gaussian(alpha, sigma, x)[1] - (1 - share) * gaussian(alpha, sigma, -x)[1]


def assert_order(errors: list[float], order: int) -> None:
    """Each error is of twice the strides of the one before."""
    for coarse, fine in pairwise(errors):
        assert math.log2(coarse / fine) == pytest.approx(order, abs=0.12), errors


@pytest.mark.parametrize(("solver", "order"), SOLVERS)
def test_the_order_of_a_solver_shows(solver: Solver, order: int) -> None:
    """Of a Gaussian, the flow keeps each draw at its quantile, down to the last level, whence all go to x_0."""
    first, last = even(1)
    y = starts() / level(first)[0] - MEAN
    y = y * ((DEVIATION**2 + RATIO[last] ** 2) / (DEVIATION**2 + RATIO[first] ** 2)) ** 0.5
    exact = MEAN + y * DEVIATION**2 / (DEVIATION**2 + RATIO[last] ** 2)
    found = [solver(of_gaussian, FINE, even(strides), starts()) for strides in (32, 64, 128)]
    assert_order([float((x - exact).abs().max()) for x in found], order)


@pytest.mark.parametrize(("solver", "order"), SOLVERS)
def test_a_curved_flow_is_followed(solver: Solver, order: int) -> None:
    """Against a thousand strides of Heun, of data that are no Gaussian."""
    reference = heun(of_two, FINE, even(1000), starts())
    found = [solver(of_two, FINE, even(strides), starts()) for strides in (32, 64, 128)]
    assert_order([float((x - reference).abs().max()) for x in found], order)


@pytest.mark.parametrize(("solver", "order"), SOLVERS)
def test_draws_of_a_gaussian(solver: Solver, order: int) -> None:
    """A few of a thousand timesteps, as a head takes them, find mean and deviation."""
    schedule = diffusion.cosine_schedule()

    def epsilon(x: Tensor, t: int) -> Tensor:
        signal = float(schedule.signal[t])
        return gaussian(signal**0.5, (1 - signal) ** 0.5, x)[1]

    start = torch.randn(ROWS, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = solver(epsilon, schedule, quiet_timesteps(schedule, 50 // order), start)
    assert float(x.mean()) == pytest.approx(MEAN, abs=0.02)
    assert float(x.std()) == pytest.approx(DEVIATION, rel=0.08 / order)


@pytest.mark.parametrize(("solver", "order"), SOLVERS)
def test_one_and_two_strides_in_closed_form(solver: Solver, order: int) -> None:
    (alpha, sigma), (next_alpha, next_sigma) = level(15_000), level(5_000)
    x = starts()
    data, noise = (x - sigma * of_gaussian(x, 15_000)) / alpha, of_gaussian(x, 15_000)
    torch.testing.assert_close(solver(of_gaussian, FINE, [15_000], x), data)
    between = next_alpha * data + next_sigma * noise
    if solver is heun:
        noise = (noise + of_gaussian(between, 5_000)) / 2
        between = next_alpha * (x / alpha + (next_sigma / next_alpha - sigma / alpha) * noise)
    last = (between - next_sigma * of_gaussian(between, 5_000)) / next_alpha
    torch.testing.assert_close(solver(of_gaussian, FINE, [15_000, 5_000], x), last)


def test_quiet_timesteps_begin_where_the_signal_is_heard() -> None:
    schedule = diffusion.cosine_schedule()
    timesteps = quiet_timesteps(schedule, 10)
    noise = [(1 / float(schedule.signal[t]) - 1) ** 0.5 for t in (timesteps[0], timesteps[0] + 1)]
    assert noise[0] <= 80 < noise[1]
    assert timesteps == linspace_timesteps(timesteps[0] + 1, 10)
    assert len(timesteps) == 10


def test_temperature_is_the_noise_of_the_sde() -> None:
    start = torch.zeros(4, 1, dtype=torch.float64)
    draw = lambda: torch.full_like(start, 10.0)  # noqa: E731
    cold = flow.euler_maruyama(velocity, start, flow.late_times(5), draw, temperature=0.0)
    assert float(cold.abs().max()) < 2.0 < float(flow.euler_maruyama(velocity, start, flow.late_times(5), draw).max())


def test_times() -> None:
    assert flow.euler_times(4) == [1.0, 0.75, 0.5, 0.25, 0.0]
    assert flow.late_times(3) == pytest.approx([1.0, 0.52, 0.04, 0.0])
    assert flow.late_times(1) == [1.0, 0.0]
    assert linspace_timesteps(1000, 2) == [999, 500]
    with pytest.raises(ValueError, match="cannot be taken in 0"):
        linspace_timesteps(1000, 0)
