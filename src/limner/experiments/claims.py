"""Claims as comparisons: what is compared, under which bound, and what would refute it.

    better(A, B)            the gain of A over B, paired by seed, is beyond doubt above 0
    no_worse(A, B, 0.1)     it is beyond doubt at least -0.1, in the unit of the score; of distances, in parts of B's
    at_least(A, {...})      each score is beyond doubt at least its bound
    rises(A, [...])         each score is beyond doubt above the one before it
    exact(A)                what A draws with kept keys and values is what it draws without
    every(..., ...)         all of these

Beyond doubt: by the end of the 95 % bootstrap interval over the seeds. An arm below its bar leaves a claim undecided.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any, TypeAlias

import torch

from limner.decode.options import with_options
from limner.evaluate.statistics import gain_over_seeds, over_seeds
from limner.experiments.experiment import Experiment, Finding
from limner.experiments.scores import LOWER, of_seeds
from limner.experiments.world import Arm, prompts, reached, trained
from limner.models.text_to_image import TextToImage
from limner.types import Rng

Measured: TypeAlias = tuple[bool, dict[str, Any]]  # is the bound kept, and the numbers

COMPARED = 16  # captions drawn twice
ROUNDING = 1e-3  # of a latent of unit variance, after 40 passes in fp32


@dataclass(frozen=True)
class Comparison:
    """A claim in terms of arms.

    Args:
        arms: all trainings that take part; the last is the control where there is one.
        bound: the condition under which the claim holds.
        refuted: what would refute it.
        measure: is the bound kept, and the numbers.
        control: label of the arm that the claimed one is held against, or None.
        shipped: competence, as in a `Finding`, of models that ship and take part.
        ways: names of what is compared beside the arms: ways to use one of them, or a model that ships.
    """

    arms: tuple[Arm, ...]
    bound: str
    refuted: str
    measure: Callable[[Experiment], Measured]
    control: str | None = None
    shipped: Callable[[Experiment], dict[str, Any]] | None = None
    ways: tuple[str, ...] = ()

    def finding(self, experiment: Experiment) -> Finding:
        """Train and measure what is compared."""
        competence = competence_of(experiment, self.arms)
        competence |= self.shipped(experiment) if self.shipped else {}
        held, measured = self.measure(experiment)
        able = all(one["passed"] for scores in competence.values() for one in scores.values())
        return Finding(held if able else None, competence, measured)

    def described(self) -> dict[str, Any]:
        """Arms, control, bound and what would refute it, ready for JSON."""
        arms = list(dict.fromkeys([*(arm.label for arm in self.arms), *self.ways]))
        return {"arms": arms, "control": self.control, "bound": self.bound, "refuted_by": self.refuted}


def competence_of(experiment: Experiment, arms: Sequence[Arm]) -> dict[str, dict[str, Any]]:
    """By training and score: the bar, and whether the mean over seeds reaches it. A training that is drawn from in
    several ways has learned its task if one of them shows it."""
    found: dict[str, dict[str, Any]] = {}
    for arm in dict.fromkeys(arms):
        ways = {one.label: one for one in arms if one == arm}
        judged = [_reached(experiment, way) for way in ways.values()]
        found[arm.name] = max(
            judged, key=lambda scores: min((s["mean"] / s["bar"] for s in scores.values()), default=0)
        )
    return found


def _reached(experiment: Experiment, arm: Arm) -> dict[str, dict[str, Any]]:
    return {score: reached(of_seeds(experiment, arm, score), bar) for score, bar in arm.bars.items()}


def better(arm: Arm, control: Arm, score: str = "frechet", *, by: float = 0.0, fewer: str | None = None) -> Comparison:
    """An arm beats its control, ``by`` so much at least; ``fewer``: and with less of another score, such as passes."""
    sign, amount = ("<" if score in LOWER else ">"), f" by {_amount(by, score)}" if by else ""
    return Comparison(
        (arm, control),
        f"{score}: {arm.label} {sign} {control.label}{amount}" + (f", in fewer {fewer}" if fewer else ""),
        f"a gap in {score} whose interval does not lie beyond {by:g} in favour of {arm.label}",
        partial(favoured, arm=arm, control=control, score=score, least=by, fewer=fewer),
        control.label,
    )


def no_worse(arm: Arm, control: Arm, margin: float, score: str = "frechet", *, fewer: str | None = None) -> Comparison:
    """An arm is not worse than its control by more than a margin; ``fewer``: see `better`."""
    amount = _amount(margin, score)
    return Comparison(
        (arm, control),
        f"{score}: {arm.label} no worse than {control.label} by {amount}" + (f", in fewer {fewer}" if fewer else ""),
        f"a gap in {score} whose interval reaches beyond {amount} in favour of {control.label}",
        partial(favoured, arm=arm, control=control, score=score, least=-margin, fewer=fewer),
        control.label,
    )


def _amount(margin: float, score: str) -> str:
    return f"{margin:.0%} of the control's" if score in LOWER else f"{margin:g}"


def favoured(
    experiment: Experiment, *, arm: Arm, control: Arm, score: str, least: float, fewer: str | None
) -> Measured:
    """Does the interval of the gap in the arm's favour lie above ``least``, and does it need ``fewer``?"""
    own, other = (of_seeds(experiment, one, score) for one in (arm, control))
    gain = gain_over_seeds(other, own) if score in LOWER else gain_over_seeds(own, other)
    bound = least * sum(other) / len(other) if score in LOWER else least
    held = gain["interval"][0] > bound
    measured = {score: {arm.label: over_seeds(own), control.label: over_seeds(other), f"gain of {arm.label}": gain}}
    if fewer is None:
        return held, measured
    counts = {one.label: of_seeds(experiment, one, fewer)[0] for one in (arm, control)}
    return held and counts[arm.label] < counts[control.label], {**measured, fewer: counts}


def at_least(arm: Arm, bounds: Mapping[str, float]) -> Comparison:
    """Every score of an arm reaches its bound."""

    def measure(experiment: Experiment) -> Measured:
        found = {score: over_seeds(of_seeds(experiment, arm, score)) for score in bounds}
        held = all(found[score]["interval"][0] >= bound for score, bound in bounds.items())
        return held, {"scores": found, "bounds": dict(bounds)}

    listed = ", ".join(f"{score} >= {bound:.3g}" for score, bound in bounds.items())
    return Comparison((arm,), f"{arm.label}: {listed}", "an interval of any of them that reaches below", measure)


def rises(arm: Arm, scores: Sequence[str]) -> Comparison:
    """Every score of an arm is above the one before it, seed by seed."""

    def measure(experiment: Experiment) -> Measured:
        values = {score: of_seeds(experiment, arm, score) for score in scores}
        gains = {f"{later} - {one}": gain_over_seeds(values[later], values[one]) for one, later in pairwise(scores)}
        measured = {score: over_seeds(found) for score, found in values.items()} | gains
        return min(gain["interval"][0] for gain in gains.values()) > 0, measured

    refuted = "a gap between neighbours whose interval holds 0"
    return Comparison((arm,), f"{arm.label}: {' < '.join(scores)}", refuted, measure)


def exact(arm: Arm, rounding: float = ROUNDING) -> Comparison:
    """Tokens drawn with and without kept keys and values differ by rounding alone, whatever was learned; drawing with
    other noise says how much they could differ."""

    def measure(experiment: Experiment) -> Measured:
        pairs = [cache_differences(experiment, arm, seed) for seed in experiment.seeds]
        cached, other = ([pair[part] for pair in pairs] for part in (0, 1))
        measured = {"cached - computed anew": over_seeds(cached), "other noise": over_seeds(other)}
        return max(cached) < rounding, {"largest difference of a token": measured}

    bound = f"{arm.label}: tokens drawn with a cache and without differ by less than {rounding:g}"
    return Comparison((replace(arm, judged=False),), bound, f"one token that differs by {rounding:g} or more", measure)


def cache_differences(experiment: Experiment, arm: Arm, seed: int) -> tuple[float, float]:
    """Largest difference of a token, drawn with and without a cache, and with other noise."""
    model = trained(experiment, arm, seed)
    assert isinstance(model, TextToImage)
    texts = [prompt.text for prompt in prompts(experiment)[:COMPARED]]
    decoder = with_options(model.own_decoder(), **arm.options)
    condition, rows = model.subwords.encode(texts), range(len(texts))
    with torch.no_grad():
        plain = replace(decoder, cached=False)(condition, Rng(list(rows)))
        cached, other = (decoder(condition, Rng([row + first for row in rows])) for first in (0, len(texts)))
    return float((cached - plain).abs().max()), float((other - plain).abs().max())


def every(*comparisons: Comparison) -> Comparison:
    """All bounds are kept."""

    def measure(experiment: Experiment) -> Measured:
        found = [one.measure(experiment) for one in comparisons]
        return all(held for held, _ in found), {
            one.bound: measured for one, (_, measured) in zip(comparisons, found, strict=True)
        }

    arms = tuple(arm for one in comparisons for arm in one.arms)
    bound = " and ".join(one.bound for one in comparisons)
    return Comparison(arms, bound, "any of: " + "; ".join(one.refuted for one in comparisons), measure)
