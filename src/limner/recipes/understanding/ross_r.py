"""ROSS-R: a LLaVA whose language model must give back the pixels, or the latents, of the picture that it was shown.

Wang et al., arXiv:2410.09575, Section 3.2. Answers teach a language model what is asked; here, beside the loss on
answers, a small MLP reads each patch of the picture off the last hidden state at its slot. The MLP belongs to the
training alone, so the model ships and answers as a LLaVA does.

    limner train superclass --out runs/superclass
    limner train ross_r --encoder runs/superclass --out runs/pixels
    limner train ross_r --encoder runs/superclass --latents vae-64 --cosine --out runs/latents
"""

from __future__ import annotations

from dataclasses import dataclass, field

from limner.models.vision_language import VisionLanguageModel
from limner.recipe import Claim, Recipe
from limner.recipes.understanding import llava
from limner.recipes.understanding.asked import TINY, SeeingTask, conversation_lesson, latents_of, seeing_scores
from limner.recipes.understanding.llava import build
from limner.train.settings import RARE
from limner.unified.reconstruction import Reconstruction, Regression
from limner.unified.targets import Pixels, Target


@dataclass(frozen=True, kw_only=True)
class Knobs(llava.Knobs):
    """A LLaVA that gives back what it was shown."""

    latents: str | None = None
    """Name or folder of the tokenizer whose latents are given back; without one, pixels."""
    cosine: bool = False
    """Measure by angles, not by squares."""
    weight: float = 1.0
    """Weight of reconstruction beside answers."""
    shuffled: bool = field(default=False, metadata=RARE)
    """A control: give back another picture than the one shown."""
    stopped: bool = field(default=False, metadata=RARE)
    """A control: reconstruction teaches the language model nothing."""


def lesson(knobs: Knobs, model: VisionLanguageModel) -> SeeingTask:
    """How it is trained; errors as those of `conversation_lesson` and `latents_of`."""
    target: Target = (
        Pixels(model.encoder.size, model.slots) if knobs.latents is None else latents_of(knobs.latents, model)
    )
    objective = Regression(model.language.width, target.channels, cosine=knobs.cosine)
    reconstruction = Reconstruction(target, objective, shuffled=knobs.shuffled, stopped=knobs.stopped)
    return conversation_lesson(knobs, model, reconstruction, knobs.weight).task()


RECIPE = Recipe(
    system="ross-r",
    state="works",
    paper="arXiv:2410.09575",
    knobs=Knobs,
    build=build,
    lesson=lesson,
    score=seeing_scores,
    tiny=TINY,
    claims=(
        Claim(
            text="giving back the picture, as pixels or as latents, answers more questions right than answers alone "
            "teach",
            source="arXiv:2410.09575, Section 3.2 and 4",
        ),
        Claim(
            text="latents teach more than pixels",
            source="arXiv:2410.09575, Section 3.2",
        ),
        Claim(
            text="it is the picture that teaches: giving back the latents of another picture answers fewer questions "
            "right",
            source="arXiv:2410.09575, Section 3",
        ),
    ),
)
