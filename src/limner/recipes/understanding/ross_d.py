"""ROSS-D: a LLaVA from whose view of a picture a small denoiser must be able to draw that picture.

Wang et al., arXiv:2410.09575, Section 3.3. Pixels repeat themselves, and a regression spends itself on them; here a DiT
of three blocks removes noise from the picture's latents, each told by the last hidden state at its slot, so that only
what the latents do not tell of each other must come from there. It belongs to the training alone, so the model ships
and answers as a LLaVA does. Previews show held-out pictures and what the denoiser draws of the model's view of them.
Deviations of the small model: those of LLaVA's; one latent of vae-64 per slot, where FLUX.1's are folded 2x2 (smaller
``--patch`` than a latent's 8 pixels is refused, larger ones fold); training may run in bf16.

    limner train superclass --out runs/superclass
    limner train ross_d --encoder runs/superclass --out runs/ross
"""

from __future__ import annotations

from dataclasses import dataclass, field

from limner.models.vision_language import VisionLanguageModel
from limner.recipe import Claim, Recipe
from limner.recipes.understanding import llava
from limner.recipes.understanding.asked import TINY, SeeingTask, conversation_lesson, latents_of, seeing_scores
from limner.recipes.understanding.llava import build
from limner.train.settings import RARE
from limner.unified.denoiser import TokenDenoiser
from limner.unified.reconstruction import Denoising, Reconstruction
from limner.unified.targets import side_of


@dataclass(frozen=True, kw_only=True)
class Knobs(llava.Knobs):
    """A LLaVA that can be drawn from."""

    latents: str = "vae-64"
    """Name or folder of the tokenizer whose latents are denoised."""
    denoiser_width: int = field(default=128, metadata=RARE)
    """Width of the denoiser."""
    denoiser_depth: int = field(default=3, metadata=RARE)
    """Blocks of the denoiser."""
    summed: bool = field(default=False, metadata=RARE)
    """Add hidden states to the latents, in place of steering the blocks by them."""
    draws: int = field(default=4, metadata=RARE)
    """Noise levels per picture and step."""
    weight: float = 1.0
    """Weight of reconstruction beside answers."""
    shuffled: bool = field(default=False, metadata=RARE)
    """A control: denoise another picture than the one shown."""
    stopped: bool = field(default=False, metadata=RARE)
    """A control: reconstruction teaches the language model nothing."""


def reconstruction(knobs: Knobs, model: VisionLanguageModel) -> Reconstruction:
    """Denoising of a picture's latents from what the model holds at its slots; errors as those of `latents_of`."""
    target, width = latents_of(knobs.latents, model), model.language.width
    network = TokenDenoiser(
        target.channels,
        width,
        side_of(model.slots),
        width=knobs.denoiser_width,
        depth=knobs.denoiser_depth,
        heads=max(knobs.denoiser_width // 32, 1),
        steered=not knobs.summed,
    )
    objective = Denoising(width, network, draws=knobs.draws)
    return Reconstruction(target, objective, shuffled=knobs.shuffled, stopped=knobs.stopped)


def lesson(knobs: Knobs, model: VisionLanguageModel) -> SeeingTask:
    """How it is trained; errors as those of `conversation_lesson` and `reconstruction`."""
    return conversation_lesson(knobs, model, reconstruction(knobs, model), knobs.weight).task()


RECIPE = Recipe(
    system="ross-d",
    state="works",
    paper="arXiv:2410.09575",
    knobs=Knobs,
    build=build,
    lesson=lesson,
    score=seeing_scores,
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
