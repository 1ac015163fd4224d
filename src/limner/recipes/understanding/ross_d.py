"""ROSS-D: a LLaVA whose hidden states at a picture must suffice for a small denoiser to reconstruct that picture.

    L = L_answers + weight * E |epsilon - J(noised latents | t, hidden states)|^2

Wang et al., arXiv:2410.09575, Section 3.3. J is a DiT of three blocks over the picture's latents, each conditioned on
the last hidden state at its token, so that only what the latents do not determine of each other must come from there.
It belongs to the training alone, so the model ships and answers as a LLaVA does. Previews: held-out pictures and their
reconstructions. Deviations of the small model: LLaVA's; one latent of vae-64 per token, FLUX.1's being folded 2x2
(smaller ``--patch`` than a latent's 8 pixels is refused, larger ones fold); training may run in bf16.

    limner train superclass --out runs/superclass
    limner train ross_d --encoder runs/superclass --out runs/ross
"""

from __future__ import annotations

from dataclasses import dataclass, field

from limner.models.vision_language import VisionLanguageModel
from limner.recipe import Claim, Recipe
from limner.recipes.understanding import llava
from limner.recipes.understanding.family import TINY, Lesson, conversation_lesson, score
from limner.recipes.understanding.llava import build
from limner.recipes.understanding.ross_r import latents_of
from limner.train.settings import RARE
from limner.unified.denoiser import TokenDenoiser
from limner.unified.reconstruction import Denoising, Reconstruction
from limner.unified.targets import side_of


@dataclass(frozen=True, kw_only=True)
class Knobs(llava.Knobs):
    """A LLaVA whose pictures can be denoised from its hidden states."""

    latents: str = "vae-64"
    """Name or folder of the tokenizer whose latents are denoised."""
    denoiser_width: int = field(default=128, metadata=RARE)
    """Width of the denoiser."""
    denoiser_depth: int = field(default=3, metadata=RARE)
    """Blocks of the denoiser."""
    summed: bool = field(default=False, metadata=RARE)
    """Add hidden states to the latents, in place of modulating the blocks by them."""
    draws: int = field(default=4, metadata=RARE)
    """Noise levels per picture and step."""
    weight: float = 1.0
    """Weight of reconstruction beside answers."""
    shuffled: bool = field(default=False, metadata=RARE)
    """A control: denoise another picture of the batch."""
    stopped: bool = field(default=False, metadata=RARE)
    """A control: the language model learns nothing from reconstruction."""


def reconstruction(knobs: Knobs, model: VisionLanguageModel) -> Reconstruction:
    """Denoising of latents, conditioned on the hidden states at the picture; errors as those of `latents_of`."""
    target, width = latents_of(knobs.latents, model), model.language.width
    network = TokenDenoiser(
        target.channels,
        width,
        side_of(model.image_tokens),
        width=knobs.denoiser_width,
        depth=knobs.denoiser_depth,
        heads=max(knobs.denoiser_width // 32, 1),
        modulated=not knobs.summed,
    )
    objective = Denoising(width, network, draws=knobs.draws)
    return Reconstruction(target, objective, shuffled=knobs.shuffled, stopped=knobs.stopped)


def lesson(knobs: Knobs, model: VisionLanguageModel) -> Lesson:
    """How it is trained; errors as those of `conversation_lesson` and `reconstruction`."""
    return conversation_lesson(knobs, model, reconstruction(knobs, model), knobs.weight).task()


RECIPE = Recipe(
    system="ross-d",
    state="works",
    paper="arXiv:2410.09575",
    knobs=Knobs,
    build=build,
    lesson=lesson,
    score=score,
    tiny={**TINY, "denoiser_width": 32, "denoiser_depth": 1, "draws": 2},
    claims=(
        Claim(
            text="denoising the picture's latents answers more questions right than answers alone teach",
            source="arXiv:2410.09575, Section 3.3; deck: 52.1 to 56.4 on 15 benchmarks",
        ),
        Claim(
            text="denoising latents teaches more than regressing them",
            source="arXiv:2410.09575, Section 3.3",
        ),
        Claim(
            text="it is the picture that teaches: denoising another picture answers fewer questions right",
            source="arXiv:2410.09575, Section 3",
        ),
    ),
)
