"""AGLA on limner-64: is a thing there? Noisy pictures, answered alone and with what in them the question is about.

plain        the picture
agla         with its most relevant pixels
elsewhere    with as many pixels, those that are most relevant in another picture for its question
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from limner.decode.contrast import Contrast, together
from limner.experiments.seeing import Changes, about_presence, unchanged
from limner.models.vision_language import VisionLanguageModel
from limner.recipes.techniques import agla
from limner.types import Image


@dataclass(frozen=True)
class Elsewhere:
    """A `limner.decode.contrast.View`: what another picture of the batch has in the relevant places of this one."""

    relevant: agla.Relevant

    def __call__(self, images: Image, questions: Sequence[str]) -> Image:
        relevance, match = self.relevant.maps(images, questions)
        half = len(images) // 2  # neighbours show the same scene
        return agla.masked(images, relevance.roll(half, 0), match)


def elsewhere(model: VisionLanguageModel, seed: int) -> VisionLanguageModel:
    """The control."""
    knobs = agla.Knobs()
    return model.changed(contrast=Contrast(Elsewhere(agla.Relevant(model)), together, knobs.alpha, knobs.beta))


ARMS = Changes(
    "presence",
    {"plain": unchanged, "agla": lambda model, seed: agla.apply(model, agla.Knobs()), "elsewhere": elsewhere},
    about_presence,
)
CLAIMS = (ARMS.better("agla", "plain"), ARMS.better("agla", "elsewhere"))
