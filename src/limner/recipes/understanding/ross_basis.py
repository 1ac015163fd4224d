"""ROSS-D through the language basis: pictures are combinations of the model's own words, from which, and from what the
language model makes of them, the pictures must be drawn again.

Language basis: Liao et al., LangBridge, arXiv:2503.19404. Denoising: Wang et al., ROSS, arXiv:2410.09575, Section 3.3.
Words alone may drop what answers need; the denoiser asks for it. The same file teaches a small model on scenes, and
models that others trained on a file of talk (docs/real-scale.md). Deviations: those of `language_basis` and `ross_d`.

    limner train superclass --out runs/superclass
    limner train ross_basis --encoder runs/superclass --out runs/method
    limner train ross_basis --encoder siglip --language qwen --data talk.json --stage align --out runs/aligned
    limner train ross_basis --encoder siglip --language qwen --data talk.json --aligned runs/aligned --lora 16
"""

from __future__ import annotations

from dataclasses import dataclass

from limner.models.vision_language import VisionLanguageModel
from limner.recipe import Recipe
from limner.recipes.understanding import language_basis, ross_d
from limner.recipes.understanding.asked import TINY, SeeingTask, conversation_lesson, seeing_scores
from limner.recipes.understanding.language_basis import build, settle
from limner.recipes.understanding.ross_d import reconstruction


@dataclass(frozen=True, kw_only=True)
class Knobs(language_basis.Knobs, ross_d.Knobs):
    """A LLaVA that sees in words and can be drawn from."""


def lesson(knobs: Knobs, model: VisionLanguageModel) -> SeeingTask:
    """How it is trained; errors as those of `conversation_lesson`, `settle` and `reconstruction`."""
    made = conversation_lesson(knobs, model, reconstruction(knobs, model), knobs.weight)
    settle(knobs, made)
    return made.task()


RECIPE = Recipe(
    state="partly",
    paper="arXiv:2410.09575",
    knobs=Knobs,
    build=build,
    lesson=lesson,
    score=seeing_scores,
    tiny={**TINY, "denoiser_width": 32, "denoiser_depth": 1, "draws": 1, "frequent": 32},
)
