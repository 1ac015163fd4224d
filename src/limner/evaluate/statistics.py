"""How sure a mean is: bootstrap confidence intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from limner.errors import InputError


class Interval(NamedTuple):
    """A mean with the ends of its confidence interval."""

    mean: float
    low: float
    high: float


def _resampled_means(values: np.ndarray, seed: int, resamples: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return values[rng.integers(0, len(values), (resamples, len(values)))].mean(axis=1)


def _checked(values: Sequence[float]) -> np.ndarray:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or len(array) == 0 or not np.isfinite(array).all():
        raise InputError("a confidence interval needs one or more finite numbers; remove empty or failed measurements")
    return array


def bootstrap_mean(values: Sequence[float], level: float = 0.95, seed: int = 0, resamples: int = 10_000) -> Interval:
    """Mean of ``values`` and its percentile bootstrap interval (Efron and Tibshirani 1993, ch. 13).

    With very few values (three seeds) the interval is too narrow; say how many there were when you report it.
    """
    array = _checked(values)
    ends = np.quantile(_resampled_means(array, seed, resamples), [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(array.mean()), float(ends[0]), float(ends[1]))


def bootstrap_difference(
    first: Sequence[float],
    second: Sequence[float],
    *,
    paired: bool = False,
    level: float = 0.95,
    seed: int = 0,
    resamples: int = 10_000,
) -> Interval:
    """Mean of ``first`` minus mean of ``second`` with its bootstrap interval; an interval without 0 is a difference.

    ``paired``: value i of both was measured under the same seed, so their differences are resampled.
    """
    a, b = _checked(first), _checked(second)
    if paired:
        if len(a) != len(b):
            raise InputError(f"{len(a)} and {len(b)} values are not pairs; measure both under the same seeds")
        return bootstrap_mean((a - b).tolist(), level, seed, resamples)
    gaps = _resampled_means(a, seed, resamples) - _resampled_means(b, seed + 1, resamples)
    ends = np.quantile(gaps, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(a.mean() - b.mean()), float(ends[0]), float(ends[1]))


def over_seeds(values: Sequence[float]) -> dict[str, Any]:
    """Values by seed, their mean and its 95 % interval, ready for JSON."""
    interval = bootstrap_mean(values)
    return {"values": list(values), "mean": interval.mean, "interval": [interval.low, interval.high]}


def gain_over_seeds(values: Sequence[float], baseline: Sequence[float]) -> dict[str, Any]:
    """Mean of ``values - baseline``, paired by seed, with its 95 % interval, ready for JSON."""
    interval = bootstrap_difference(values, baseline, paired=True)
    return {"mean": interval.mean, "interval": [interval.low, interval.high]}
