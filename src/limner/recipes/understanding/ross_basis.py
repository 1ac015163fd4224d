"""ROSS-D through the language basis: pictures are combinations of the model's own words, from which, and from what the
language model makes of them, the pictures must be reconstructed.

Language basis: Liao et al., LangBridge, arXiv:2503.19404. Denoising: Wang et al., ROSS, arXiv:2410.09575, Section 3.3.
Words alone may drop what answers need; the denoiser requires it. The same recipe trains a small model on scenes, and
models of transformers on a file of conversations (docs/real-scale.md). Deviations: those of `language_basis` and
`ross_d`.

    limner train superclass --out runs/superclass
    limner train ross_basis --encoder runs/superclass --out runs/method
    limner train ross_basis --encoder siglip --language qwen --data conversations.json --stage align --out runs/aligned
    limner train ross_basis --encoder siglip --language qwen --data conversations.json --aligned runs/aligned --lora 16
"""

from __future__ import annotations

from dataclasses import dataclass

from limner.models.vision_language import VisionLanguageModel
from limner.recipe import Recipe
from limner.recipes.understanding import language_basis, ross_d
from limner.recipes.understanding.family import TINY, Lesson, conversation_lesson, score
from limner.recipes.understanding.language_basis import build, settle
from limner.recipes.understanding.ross_d import reconstruction


@dataclass(frozen=True, kw_only=True)
class Knobs(language_basis.Knobs, ross_d.Knobs):
    """A LLaVA whose pictures are mixtures of words, and which must reconstruct them."""


def lesson(knobs: Knobs, model: VisionLanguageModel) -> Lesson:
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
    score=score,
    tiny={**TINY, "denoiser_width": 32, "denoiser_depth": 1, "draws": 1, "frequent": 32},
)
