"""ROSS-R in the small world: hidden states that must give back pixels, or latents, against answers alone.

The encoder is frozen here, so a loss whose gradient stops before the language model would teach nothing at all: that
control is the plain LLaVA.
"""

from __future__ import annotations

from limner.experiments.experiment import Experiment, Finding
from limner.experiments.understanding.givenback import latents, pixels
from limner.experiments.understanding.lessons import Supervision
from limner.experiments.understanding.world import PLAIN, Answers, Arm, World, compared
from limner.unified.reconstruction import Regression


def of_pixels(world: World) -> Supervision:
    """Squared error of the pixels of every cell."""
    values = pixels(world)
    return Supervision(Regression(world.language.width, values.shape[-1]), values)


def of_latents(world: World, *, shuffled: bool = False) -> Supervision:
    """Squared error of a tokenizer's latents, one per slot."""
    values = latents(world)
    return Supervision(Regression(world.language.width, values.shape[-1]), values, shuffled)


PIXELS = Arm("ross-r-pixels", supervise=of_pixels)
LATENTS = Arm("ross-r-latents", supervise=of_latents)
SHUFFLED = Arm("ross-r-shuffled", supervise=lambda world: of_latents(world, shuffled=True))


def findings(experiment: Experiment) -> tuple[Finding, ...]:
    """One per claim of the recipe."""
    answers = compared(experiment, PLAIN, PIXELS, LATENTS, SHUFFLED)
    return giving_back_teaches(answers), latents_teach_more(answers), own_picture_teaches(answers)


def giving_back_teaches(answers: Answers) -> Finding:
    """Accuracy: pixels > answers alone, and latents > answers alone."""
    gains = {f"{arm.name} - llava": answers.gap(arm, PLAIN) for arm in (PIXELS, LATENTS)}
    holds = all(gain["interval"][0] > 0 for gain in gains.values())
    return Finding(holds, {**answers.report(), "gains": gains})


def latents_teach_more(answers: Answers) -> Finding:
    """Accuracy: latents > pixels."""
    difference = answers.gap(LATENTS, PIXELS)
    return Finding(difference["interval"][0] > 0, {"latents - pixels": difference})


def own_picture_teaches(answers: Answers) -> Finding:
    """Accuracy: own latents > those of another picture."""
    difference = answers.gap(LATENTS, SHUFFLED)
    return Finding(difference["interval"][0] > 0, {"own - another's": difference})
