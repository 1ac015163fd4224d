"""Numbers of a study, seed by seed, and their differences in pairs.

A value is looked up by what a trial depends on, at the learning rate that was chosen for it; a seed that lacks one of
a pair counts for neither.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from limner.evaluate.statistics import Interval, bootstrap_mean
from studies.language_basis.joint import Joint
from studies.language_basis.plan import Cell, Results, joint_rate, rate
from studies.language_basis.pretrained import TRAINING

Values: TypeAlias = Mapping[int, float]  # by seed
Read: TypeAlias = Callable[[dict[str, Any]], float]
ENOUGH = 5  # seeds that a verdict needs
SEEDS = 50  # are looked for


def overall(result: dict[str, Any]) -> float:
    """Accuracy on all test questions."""
    return result["test"]["all"]


def of_kinds(*kinds: str) -> Read:
    """Mean accuracy on some kinds of question."""
    return lambda result: sum(result["test"][kind] for kind in kinds) / len(kinds)


def under_noise(sigma: float, score: str = "all") -> Read:
    """Under noise of ``sigma`` deviations."""
    return lambda result: result["noise"][f"{sigma:g}"][score]


def found(results: Results, cell: Cell) -> dict[int, dict[str, Any]]:
    """The results of a cell by seed."""
    chosen = rate(cell.arm, results)
    if chosen is None:
        return {}
    names = {seed: cell.trial(seed, chosen).name for seed in range(SEEDS)}
    return {seed: results[name] for seed, name in names.items() if name in results}


def values(results: Results, cell: Cell, read: Read = overall) -> Values:
    """One number of a cell by seed."""
    return {seed: read(result) for seed, result in found(results, cell).items()}


def drawings(result: dict[str, Any]) -> float:
    """Mean accuracy of the colour, shape and place of test drawings."""
    return result["drawn"]["test"]["all"]


def jointly(results: Results, arm: str, read: Read) -> Values:
    """One number by seed of an arm of the second half of H5."""
    chosen = joint_rate(arm, results)
    if chosen is None:
        return {}
    names = {seed: Joint(arm, seed, chosen, TRAINING).name for seed in range(SEEDS)}
    return {seed: read(results[name]) for seed, name in names.items() if name in results}


def minus(first: Values, second: Values) -> Values:
    """Differences of the seeds that both have."""
    return {seed: first[seed] - second[seed] for seed in first if seed in second}


def mean(some: Values) -> float:
    """Over seeds; nan without any."""
    return sum(some.values()) / len(some) if some else float("nan")


def interval(some: Values) -> Interval:
    """Mean over seeds with its 95 % bootstrap interval; nan without any."""
    if not some:
        return Interval(float("nan"), float("nan"), float("nan"))
    return bootstrap_mean(list(some.values()))


def enough(*some: Values) -> bool:
    """Are there seeds enough everywhere?"""
    return all(len(one) >= ENOUGH for one in some)
