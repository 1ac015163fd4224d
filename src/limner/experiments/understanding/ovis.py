"""Ovis in the small world: visual words against an MLP of exactly as many parameters, and mixtures against one word."""

from __future__ import annotations

from limner.connectors.coefficients import Softmax, StraightThrough
from limner.connectors.ovis import OvisConnector
from limner.experiments.experiment import Experiment, Finding
from limner.experiments.understanding.world import PLAIN, Answers, Arm, World, compared


def words(world: World, *, likeliest: bool = False) -> OvisConnector:
    """As many visual words as channels: head, norm and table then hold what the MLP's matrices and biases hold."""
    soft = Softmax(learned=False)
    phi = StraightThrough(soft) if likeliest else soft
    connector = OvisConnector(world.encoder.width, world.language.width, world.language.width, phi)
    connector.settle(world.language.words)
    return connector


OVIS = Arm("ovis", words)
ONE = Arm("ovis-argmax", lambda world: words(world, likeliest=True))


def findings(experiment: Experiment) -> tuple[Finding, ...]:
    """One per claim of the recipe."""
    answers = compared(experiment, PLAIN, OVIS, ONE)
    return words_beat_an_mlp(answers), mixtures_beat_one(answers)


def words_beat_an_mlp(answers: Answers) -> Finding:
    """Accuracy: Ovis > LLaVA."""
    difference = answers.gap(OVIS, PLAIN)
    return Finding(difference["interval"][0] > 0, {**answers.report(), "ovis - llava": difference})


def mixtures_beat_one(answers: Answers) -> Finding:
    """Accuracy: softmax > the likeliest word, straight through."""
    difference = answers.gap(OVIS, ONE)
    return Finding(difference["interval"][0] > 0, {"softmax - argmax": difference})
