r"""Gaussian diffusion with a learned variance, as MAR's diffusion loss uses it.

Noising  :math:`x_t = \sqrt{\bar\alpha_t}\, x_0 + \sqrt{1-\bar\alpha_t}\,\epsilon` (Ho et al., arXiv:2006.11239, Eq. 4);
a network returns ``[epsilon | v]`` and learns :math:`|\epsilon - \hat\epsilon|^2` plus the variational bound of the
variance :math:`\exp(v' \log\beta_t + (1-v')\log\tilde\beta_t),\ v' = (v+1)/2` (Nichol & Dhariwal, arXiv:2102.09672,
Eq. 15-16) with the cosine schedule (Eq. 17). The network is any ``(x [..., c], t [...]) -> [..., 2c]``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

Network = Callable[[Tensor, Tensor], Tensor]
Table = Float[np.ndarray, "t"]
NATS_PER_BIT = math.log(2.0)


@dataclass(frozen=True, eq=False)
class Schedule:
    """The variances of a noise process, in float64.

    Args:
        betas: variance added at each step, in (0, 1].
        timesteps: what the network reads at each step; differs from 0, 1, 2 ... when steps were left out.
    """

    betas: Table
    timesteps: Int[np.ndarray, "t"]

    @cached_property
    def signal(self) -> Table:
        """Share of the picture's variance that is left, ``alpha_bar``."""
        return np.cumprod(1.0 - self.betas)

    @cached_property
    def signal_before(self) -> Table:
        """``alpha_bar`` one step earlier, 1 at the first."""
        return np.append(1.0, self.signal[:-1])

    @cached_property
    def posterior_log_variance(self) -> Table:
        """log of ``beta~_t``, the variance of q(x_{t-1} | x_t, x_0); the first, zero, is replaced by the second."""
        variance = self.betas * (1.0 - self.signal_before) / (1.0 - self.signal)
        return np.log(np.append(variance[1], variance[1:])) if len(variance) > 1 else np.log(self.betas)

    @cached_property
    def posterior_weights(self) -> tuple[Table, Table]:
        """Weights of x_0 and of x_t in the mean of q(x_{t-1} | x_t, x_0) (arXiv:2006.11239, Eq. 7)."""
        rest = 1.0 - self.signal
        return (
            self.betas * np.sqrt(self.signal_before) / rest,
            (1.0 - self.signal_before) * np.sqrt(1.0 - self.betas) / rest,
        )

    def __len__(self) -> int:
        return len(self.betas)


def cosine_schedule(steps: int = 1000, largest: float = 0.999) -> Schedule:
    """``alpha_bar(t) = cos^2((t/T + 0.008) / 1.008 * pi/2)``, betas at most ``largest`` (arXiv:2102.09672, Eq. 17)."""
    time = np.arange(steps + 1, dtype=np.float64) / steps
    signal = np.array([math.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2 for t in time])
    return Schedule(np.minimum(1.0 - signal[1:] / signal[:-1], largest), np.arange(steps))


def linear_schedule(steps: int = 1000, first: float = 1e-4, last: float = 0.02) -> Schedule:
    """betas from ``first`` to ``last`` evenly (arXiv:2006.11239, Section 4)."""
    return Schedule(np.linspace(first, last, steps, dtype=np.float64), np.arange(steps))


def respaced(schedule: Schedule, steps: int | Sequence[int]) -> Schedule:
    """The same process in fewer strides (arXiv:2102.09672, Section 4): ``steps`` evenly spaced ones, or exactly those
    numbered, in rising order."""
    kept = evenly_spaced(len(schedule), steps) if isinstance(steps, int) else list(steps)
    signal = schedule.signal[kept]
    return Schedule(1.0 - signal / np.append(1.0, signal[:-1]), schedule.timesteps[kept])


def evenly_spaced(total: int, steps: int) -> list[int]:
    """``steps`` numbers from 0 to ``total - 1``, both ends among them; halves are rounded to even."""
    if not 1 <= steps <= total:
        raise ValueError(f"a process of {total} steps cannot be taken in {steps}")
    stride = (total - 1) / (steps - 1) if steps > 1 else 1.0
    place, kept = 0.0, []
    for _ in range(steps):
        kept.append(round(place))
        place += stride
    return kept


def _at(table: Table, t: Int[Tensor, "*#rows"]) -> Float[Tensor, "*#rows 1"]:
    return torch.from_numpy(table).to(t.device)[t].float().unsqueeze(-1)


def add_noise(
    schedule: Schedule, x: Float[Tensor, "*rows c"], t: Int[Tensor, "*rows"], noise: Float[Tensor, "*rows c"]
) -> Float[Tensor, "*rows c"]:
    """``x_t`` (arXiv:2006.11239, Eq. 4)."""
    return _at(np.sqrt(schedule.signal), t) * x + _at(np.sqrt(1.0 - schedule.signal), t) * noise


class _Step(NamedTuple):
    """What the reverse step needs of a schedule: numbers at one step, or tensors over rows of different steps."""

    of_noisy: Tensor | float
    of_noise: Tensor | float
    mean_of_original: Tensor | float
    mean_of_noisy: Tensor | float
    least_log_variance: Tensor | float
    most_log_variance: Tensor | float

    @classmethod
    def of(cls, schedule: Schedule, t: Int[Tensor, "*rows"] | int) -> _Step:
        tables = (
            np.sqrt(1.0 / schedule.signal),
            np.sqrt(1.0 / schedule.signal - 1.0),
            *schedule.posterior_weights,
            schedule.posterior_log_variance,
            np.log(schedule.betas),
        )
        return cls(*(float(table[t]) if isinstance(t, int) else _at(table, t) for table in tables))


def _reverse(
    step: _Step, output: Float[Tensor, "*rows c2"], x: Float[Tensor, "*rows c"]
) -> tuple[Float[Tensor, "*rows c"], Float[Tensor, "*rows c"]]:
    """Mean and log-variance of p(x_{t-1} | x_t) from the network's ``[epsilon | v]``."""
    epsilon, v = output.chunk(2, dim=-1)
    original = step.of_noisy * x - step.of_noise * epsilon
    mean = step.mean_of_original * original + step.mean_of_noisy * x
    share = (v + 1.0) / 2.0
    return mean, share * step.most_log_variance + (1.0 - share) * step.least_log_variance


def epsilon_of_velocity(
    schedule: Schedule, velocity: Float[Tensor, "*rows c"], x: Float[Tensor, "*rows c"], t: Int[Tensor, "*#rows"]
) -> Float[Tensor, "*rows c"]:
    """``sqrt(alpha_bar) v + sqrt(1 - alpha_bar) x_t`` (Salimans & Ho, arXiv:2202.00512, Appendix D), ``t`` counted in
    steps of this schedule. A network that predicts v is exact where nothing but noise is left, whatever it predicts."""
    return _at(np.sqrt(schedule.signal), t) * velocity + _at(np.sqrt(1.0 - schedule.signal), t) * x


def velocity_of(
    schedule: Schedule, x: Float[Tensor, "*rows c"], noise: Float[Tensor, "*rows c"], t: Int[Tensor, "*rows"]
) -> Float[Tensor, "*rows c"]:
    """``sqrt(alpha_bar) epsilon - sqrt(1 - alpha_bar) x``, of which `epsilon_of_velocity` is the way back."""
    return _at(np.sqrt(schedule.signal), t) * noise - _at(np.sqrt(1.0 - schedule.signal), t) * x


def denoising_losses(
    network: Network,
    schedule: Schedule,
    x: Float[Tensor, "*rows c"],
    t: Int[Tensor, "*rows"],
    noise: Float[Tensor, "*rows c"],
) -> tuple[Float[Tensor, "*rows"], Float[Tensor, "*rows"]]:
    """Squared error of epsilon, and the variational bound in bits that teaches the variance alone (its mean takes no
    gradient); each a mean over channels. MAR adds the two unweighted."""
    noisy = add_noise(schedule, x, t, noise)
    output = network(noisy, torch.from_numpy(schedule.timesteps).to(t.device)[t]).float()
    epsilon, v = output.chunk(2, dim=-1)
    mean, log_variance = _reverse(_Step.of(schedule, t), torch.cat([epsilon.detach(), v], dim=-1), noisy)
    of_original, of_noisy = schedule.posterior_weights
    true_mean = _at(of_original, t) * x + _at(of_noisy, t) * noisy
    true_log_variance = _at(schedule.posterior_log_variance, t)
    kl = 0.5 * (
        log_variance
        - true_log_variance
        + (true_log_variance - log_variance).exp()
        + (true_mean - mean).square() * (-log_variance).exp()
        - 1.0
    )
    likelihood = -_log_likelihood_of_pixel(x, mean, 0.5 * log_variance)
    bound = torch.where(t == 0, likelihood.mean(-1), kl.mean(-1)) / NATS_PER_BIT
    return (noise - epsilon).square().mean(-1), bound


def _normal_cdf(x: Tensor) -> Tensor:
    return 0.5 * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))


def _log_likelihood_of_pixel(x: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """log-probability of the bin of width 2/255 around ``x`` (arXiv:2006.11239, Eq. 13), by the tanh approximation of
    the normal distribution function; the outermost bins reach to infinity."""
    inverse = (-log_scale).exp()
    above = _normal_cdf(inverse * (x - mean + 1.0 / 255.0))
    below = _normal_cdf(inverse * (x - mean - 1.0 / 255.0))
    middle = (above - below).clamp_min(1e-12).log()
    lowest, highest = above.clamp_min(1e-12).log(), (1.0 - below).clamp_min(1e-12).log()
    return torch.where(x < -0.999, lowest, torch.where(x > 0.999, highest, middle))


class Reversed(NamedTuple):
    """After a step of the reverse process: the state, its mean before noise, and the log of its variance."""

    x: Float[Tensor, "*rows c"]
    mean: Float[Tensor, "*rows c"]
    log_variance: Float[Tensor, "*rows c"]


def steps_back(
    network: Network,
    schedule: Schedule,
    x: Float[Tensor, "*rows c"],
    draw: Callable[[], Float[Tensor, "*rows c"]],
    *,
    temperature: float = 1.0,
) -> Iterator[Reversed]:
    """Ancestral sampling from noise ``x`` (arXiv:2006.11239, Algorithm 2): one fresh ``draw()`` per step, its deviation
    times ``temperature``; no noise is added at the last step, though it is drawn. All rows share one t."""
    for index in reversed(range(len(schedule))):
        t = torch.full((1,) * (x.ndim - 1), int(schedule.timesteps[index]), device=x.device)
        mean, log_variance = _reverse(_Step.of(schedule, index), network(x, t).float(), x)
        noise = draw()
        x = mean + (0.5 * log_variance).exp() * noise * temperature if index else mean
        yield Reversed(x, mean, log_variance)


def sample(
    network: Network,
    schedule: Schedule,
    x: Float[Tensor, "*rows c"],
    draw: Callable[[], Float[Tensor, "*rows c"]],
    *,
    temperature: float = 1.0,
) -> Float[Tensor, "*rows c"]:
    """What `steps_back` ends with."""
    for state in steps_back(network, schedule, x, draw, temperature=temperature):
        x = state.x
    return x
