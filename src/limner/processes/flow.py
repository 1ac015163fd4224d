r"""Flow matching on straight paths, with an ordinary and a stochastic way back from noise.

    x_t = (1 - t) x + t epsilon,    dx_t/dt = v = epsilon - x        (Lipman et al., arXiv:2210.02747; t = 1 is noise)

A network ``(x_t, t) -> v`` learns the mean of v. Back to data by the flow, ``dx = v dt``, or by the SDE of the same
marginals (Ma et al., SiT, arXiv:2401.08740, Section 2) with any diffusion w:

    dx = (v - w s / 2) dt + sqrt(w) dW,     score  s = -(x + (1 - t) v) / t

With w = 2t, SiT's choice, the drift is  x + (2 - t) v.  States keep the dtype they come in; float64 costs nothing
beside a network and lets many small steps add up.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

State = Float[Tensor, "*rows c"]
Velocity = Callable[[Tensor, float], Tensor]


def noised(x: State, noise: State, t: Float[Tensor, "*#rows 1"]) -> State:
    """``x_t``, each row at its own time."""
    return (1.0 - t) * x + t * noise


def euler_times(steps: int) -> list[float]:
    """Times 1 to 0 in ``steps`` equal strides."""
    return torch.linspace(1.0, 0.0, steps + 1, dtype=torch.float64).tolist()


def late_times(steps: int, least: float = 0.04) -> list[float]:
    """``steps`` times from 1 to ``least`` evenly, then 0: where the score grows beyond bounds one deterministic stride
    is left (0.04 in the official code of SiT and xAR)."""
    return [*torch.linspace(1.0, least, steps, dtype=torch.float64).tolist(), 0.0]


def euler(velocity: Velocity, x: State, times: Sequence[float]) -> State:
    """Follow the flow from ``times[0]`` to the last."""
    for t, following in pairwise(times):
        x = x + (following - t) * velocity(x, t)
    return x


def euler_maruyama(
    velocity: Velocity,
    x: State,
    times: Sequence[float],
    draw: Callable[[], State],
    *,
    temperature: float = 1.0,
) -> State:
    """Follow the SDE with ``w = 2t``: one fresh ``draw()`` per stride, its deviation times ``temperature``, and none in
    the last."""
    for t, following in pairwise(times[:-1]):
        drift = _drift(velocity, x, t)
        x = x + (following - t) * drift + math.sqrt(2.0 * t * (t - following)) * temperature * draw()
    return x + (times[-1] - times[-2]) * _drift(velocity, x, times[-2])


def _drift(velocity: Velocity, x: State, t: float) -> State:
    return x + (2.0 - t) * velocity(x, t)
