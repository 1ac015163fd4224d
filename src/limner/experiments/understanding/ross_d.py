"""ROSS-D in the small world: hidden states that must steer a denoiser of latents, against regression and answers alone.

As for `ross_r`, the control with a stopped gradient is the plain LLaVA, for the encoder is frozen.
"""

from __future__ import annotations

from limner.experiments.experiment import Experiment, Finding
from limner.experiments.understanding import ross_r
from limner.experiments.understanding.givenback import latents
from limner.experiments.understanding.lessons import Supervision
from limner.experiments.understanding.world import PLAIN, Answers, Arm, World, compared
from limner.unified.denoiser import TokenDenoiser
from limner.unified.reconstruction import Denoising

DENOISER_WIDTH, DENOISER_DEPTH, DRAWS = 64, 2, 2


def denoising(world: World, *, shuffled: bool = False) -> Supervision:
    """A small denoiser of a tokenizer's latents."""
    values, width = latents(world), world.language.width
    network = TokenDenoiser(
        values.shape[-1], width, world.taught.grid[0], width=DENOISER_WIDTH, depth=DENOISER_DEPTH, heads=2
    )
    return Supervision(Denoising(width, network, draws=DRAWS), values, shuffled)


DENOISED = Arm("ross-d", supervise=denoising)
SHUFFLED = Arm("ross-d-shuffled", supervise=lambda world: denoising(world, shuffled=True))


def findings(experiment: Experiment) -> tuple[Finding, ...]:
    """One per claim of the recipe."""
    answers = compared(experiment, PLAIN, DENOISED, ross_r.LATENTS, SHUFFLED)
    return denoising_teaches(answers), denoising_teaches_more(answers), own_picture_teaches(answers)


def denoising_teaches(answers: Answers) -> Finding:
    """Accuracy: denoising > answers alone."""
    difference = answers.gap(DENOISED, PLAIN)
    return Finding(difference["interval"][0] > 0, {**answers.report(), "ross-d - llava": difference})


def denoising_teaches_more(answers: Answers) -> Finding:
    """Accuracy: denoising > regression of the same latents."""
    difference = answers.gap(DENOISED, ross_r.LATENTS)
    return Finding(difference["interval"][0] > 0, {"denoising - regression": difference})


def own_picture_teaches(answers: Answers) -> Finding:
    """Accuracy: own latents > those of another picture."""
    difference = answers.gap(DENOISED, SHUFFLED)
    return Finding(difference["interval"][0] > 0, {"own - another's": difference})
