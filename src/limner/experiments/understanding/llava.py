"""LLaVA in the small world: is the picture what answers, and does it pay to align first?"""

from __future__ import annotations

from limner.experiments.experiment import Experiment, Finding
from limner.experiments.smallworld import gap, summary
from limner.experiments.understanding.world import PLAIN, Answers, Arm, compared

FAR = 0.2  # of all questions: what the picture must be worth
SHUFFLED = Arm("llava-shuffled", shuffled=True)
ALIGNED = Arm("llava-aligned", aligned=True)


def findings(experiment: Experiment) -> tuple[Finding, ...]:
    """One per claim of the recipe."""
    answers = compared(experiment, PLAIN, SHUFFLED, ALIGNED)
    return picture_answers(answers), aligning_pays(answers)


def picture_answers(answers: Answers) -> Finding:
    """Accuracy with the picture: on every seed far above itself blind, and above one taught with other pictures."""
    seeing, blind, shuffled = answers.of(PLAIN), answers.of(PLAIN, "blind"), answers.of(SHUFFLED)
    gains = {"seeing - blind": gap(blind, seeing), "seeing - shuffled": gap(shuffled, seeing)}
    least = min(a - max(b, c) for a, b, c in zip(seeing, blind, shuffled, strict=True))
    return Finding(least >= FAR, {**answers.report(), "blind": summary(blind), "gains": gains})


def aligning_pays(answers: Answers) -> Finding:
    """Accuracy at equal pictures: aligned, then instructed > instructed alone."""
    difference = answers.gap(ALIGNED, PLAIN)
    measured = {arm.name: summary(answers.of(arm)) for arm in (ALIGNED, PLAIN)}
    return Finding(difference["interval"][0] > 0, {"accuracy": measured, "aligned - instructed alone": difference})
