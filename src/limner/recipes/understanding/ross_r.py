"""ROSS-R: a LLaVA whose language model must reconstruct the pixels, or the latents, of the picture before it.

    L = L_answers + weight * |J(hidden state at a patch) - the patch|^2, or 1 - cosine

Wang et al., arXiv:2410.09575, Section 3.2. The small MLP J belongs to the training alone, so the model ships and
answers as a LLaVA does.

    limner train superclass --out runs/superclass
    limner train ross_r --encoder runs/superclass --out runs/pixels
    limner train ross_r --encoder runs/superclass --latents vae-64 --cosine --out runs/latents
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

from limner.errors import InputError
from limner.models.vision_language import VisionLanguageModel
from limner.recipe import Claim, Recipe
from limner.recipes.understanding import llava
from limner.recipes.understanding.family import TINY, Lesson, conversation_lesson, score
from limner.recipes.understanding.llava import build
from limner.store.folder import load
from limner.tokenizers.tokenizer import QuantizingTokenizer
from limner.train.settings import RARE
from limner.unified.reconstruction import Reconstruction, Regression
from limner.unified.targets import FoldedLatents, LatentTokenizer, Pixels, Target


@dataclass(frozen=True, kw_only=True)
class Knobs(llava.Knobs):
    """A LLaVA that reconstructs its pictures."""

    latents: str | None = None
    """Name or folder of the tokenizer whose latents are reconstructed; without one, pixels."""
    cosine: bool = False
    """Measure by angles, not by squares."""
    weight: float = 1.0
    """Weight of reconstruction beside answers."""
    shuffled: bool = field(default=False, metadata=RARE)
    """A control: reconstruct another picture of the batch."""
    stopped: bool = field(default=False, metadata=RARE)
    """A control: the language model learns nothing from reconstruction."""


def latents_of(name: str, model: VisionLanguageModel) -> FoldedLatents:
    """A tokenizer's latents of a picture, divided among the model's tokens; raises `InputError` if it is no tokenizer
    of latents, or if they cannot be divided."""
    tokenizer = load(name)
    if not isinstance(tokenizer, QuantizingTokenizer) or tokenizer.quantizer.discrete:
        raise InputError(f"--latents {name} is no tokenizer of latents: choose one such as vae-64")
    latents, channels = cast(LatentTokenizer, tokenizer), tokenizer.quantizer.channels
    return FoldedLatents.nearest(latents, channels, model.image_tokens, model.encoder.size)


def lesson(knobs: Knobs, model: VisionLanguageModel) -> Lesson:
    """How it is trained; errors as those of `conversation_lesson` and `latents_of`."""
    target: Target = (
        Pixels(model.encoder.size, model.image_tokens) if knobs.latents is None else latents_of(knobs.latents, model)
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
    score=score,
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
