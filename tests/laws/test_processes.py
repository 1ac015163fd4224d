"""Processes lead from noise to data: to Gaussians, of which the best answer of a network is known exactly."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from limner.processes import diffusion, flow
from limner.processes.solvers import dpm_solver_2m, linspace_timesteps

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


def test_the_second_order_shows() -> None:
    """Twice the steps leave about a quarter of the error; a first-order method would leave half."""
    start = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
    exact = by_dpm_solver(start, 800)
    coarse, fine = (float((by_dpm_solver(start, steps) - exact).abs().max()) for steps in (25, 50))
    assert fine < 0.4 * coarse


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
