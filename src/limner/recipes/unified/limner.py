"""limner: one language model that answers about pictures and draws them, in its own words.

Four published ideas around one small transformer, trained together on the embedded worlds:

    see           patches as combinations of the model's own words       language basis, arXiv:2503.19404, 2502.01341
    first eyes    a vision transformer that names subwords of captions   SuperClass, arXiv:2411.03313
    look again    hidden states at a picture must denoise its latents    ROSS-D, arXiv:2410.09575
    draw          masked autoregression with a diffusion head            MAR, arXiv:2406.11838

    L = L_answers + w_r L_reconstruction + w_g L_grounding + w_d L_drawing

SuperClass learns which words a picture holds, not where: every patch gets the words of the whole. Grounding is the
cross-entropy between a patch's mixture and the words of what it shows, which the scenes know. Known tokens of a drawing
enter through the principal directions of the same table of words.

    limner train superclass --out runs/superclass
    limner train limner --encoder runs/superclass --out runs/limner
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, cast

import torch

from limner.connectors.basis import LanguageBasis
from limner.data.scenes import Scenes
from limner.evaluate.report import merged
from limner.generators.generator import Generator
from limner.generators.heads.diffusion import DiffusionHead
from limner.generators.orders import RandomMasked
from limner.languages.subwords import Subwords
from limner.lessons.captions import text_to_image_task, tokenized_worlds
from limner.lessons.grounding import GroundedConversations
from limner.lessons.joint import JointPart, drawing, joint_task
from limner.models.limner import Limner
from limner.models.vision_language import VisionLanguageModel
from limner.recipe import EvaluationRequest, Recipe
from limner.recipes.generators.family import frozen_tokenizer
from limner.recipes.scores import generator_scores
from limner.recipes.understanding import language_basis
from limner.recipes.understanding.asked import (
    CHECKED,
    TINY,
    ConversationLesson,
    adopt_encoder,
    said,
    seeing_scores,
    sources,
    talks,
)
from limner.recipes.understanding.language_basis import MEASURED
from limner.recipes.understanding.parts import parts
from limner.tokenizers.autoencoder import Autoencoder
from limner.train.settings import Settings
from limner.train.task import Task
from limner.unified.denoiser import TokenDenoiser
from limner.unified.drawing import LanguageBackbone, WordCondition, WordSpan
from limner.unified.reconstruction import Denoising, Reconstruction
from limner.unified.targets import FoldedLatents, side_of

SHARES = (0.25, 0.3, 0.15, 0.15, 0.15)  # of emoji, and of scenes of one thing and of two, see `captioned_worlds`

OFTEN = {
    "relation": 16.0,
    "size": 4.0,
    "position": 2.0,
}  # kinds of question that come more often: those learned last


@dataclass(frozen=True, kw_only=True)
class Knobs(Settings):
    """A model that sees and draws."""

    encoder: str | None = None
    """Name or folder of a SuperClass, which goes on learning and whose classifier scores the words of a patch; without
    one both are trained from the start, which takes far longer."""
    size: int = 64
    """Pixels on a side of what is seen."""
    patch: int = 8
    """Pixels on a side of a patch."""
    encoder_width: int = 192
    """Width of the vision transformer."""
    encoder_depth: int = 4
    """Blocks of the vision transformer."""
    width: int = 256
    """Width of the language model."""
    depth: int = 4
    """Blocks of the language model."""
    vocabulary: int = 1536
    """Subwords there are."""
    turns: int = 6
    """Most questions about a scene."""
    tokenizer: str = "vae-64"
    """Name or folder of the tokenizer whose latents are drawn, and denoised from what is seen."""
    folded: int = 2
    """Latents on a side that make one token of a drawing."""
    rank: int = 64
    """Principal directions of the words through which a drawing's tokens enter."""
    text_length: int = 18
    """Subwords of a caption that is drawn."""
    scenes: int = 15_000
    """Scenes of each of four kinds that are taken apart to be drawn."""
    head_width: int = 256
    """Width of the denoising MLP."""
    head_depth: int = 3
    """Blocks of the denoising MLP."""
    head_steps: int = 50
    """Steps of the reverse process that draws a token."""
    denoiser_width: int = 96
    """Width of the denoiser of what is seen (ROSS), which is not shipped."""
    draws: int = 1
    """Noise levels per picture seen and step."""
    drawn: int = 2
    """Captions that are drawn per picture that is seen."""
    drawing: float = 1.0
    """Weight of drawing beside answers."""
    reconstruction: float = 0.5
    """Weight of denoising what is seen."""
    grounding: float = 0.5
    """Weight of the words of each patch."""
    guidance: float = 3.0
    """Guidance that the finished model draws with."""
    images: int = 120_000
    batch: int = 32
    lr: float = 1e-3
    muon: float = 2e-3
    warmup: int = 5_000
    ema: int = 10_000
    beta2: float = 0.95
    sample_every: int = 10_000
    checkpoint_every: int = 5_000

    def seeing(self) -> language_basis.Knobs:
        """Those of what sees."""
        return language_basis.Knobs(
            seed=self.seed,
            encoder=self.encoder,
            learns_to_see=True,
            size=self.size,
            patch=self.patch,
            encoder_width=self.encoder_width,
            encoder_depth=self.encoder_depth,
            width=self.width,
            depth=self.depth,
            vocabulary=self.vocabulary,
            turns=self.turns,
        )


def build(knobs: Knobs) -> Limner:
    """A freshly initialised model."""
    seeing = knobs.seeing()
    encoder, language, _ = parts(seeing)
    words, subwords = language.words.detach(), Subwords(knobs.text_length)
    connector = language_basis.connector(seeing, encoder.width, words, None)
    connector.settle(words, torch.randn(1, (knobs.size // knobs.patch) ** 2, encoder.width))
    model = VisionLanguageModel(encoder, connector, language, subwords, learns_to_see=True, placed=True)
    tokenizer = frozen_tokenizer(knobs.tokenizer, discrete=False, patch=knobs.folded)
    channels, count = tokenizer.quantizer.channels * knobs.folded**2, tokenizer.layout.length // knobs.folded**2
    size = {"width": knobs.head_width, "depth": knobs.head_depth, "steps": knobs.head_steps}
    head = DiffusionHead(channels, knobs.width, **size, velocity=True, emphasis=1000.0)
    generator = Generator(
        count=count,
        order=RandomMasked(),
        backbone=LanguageBackbone(language, count),
        head=head,
        condition=WordCondition(language, knobs.text_length),
        embed=WordSpan(channels, language.words, knobs.rank),
    )
    return Limner(model, generator, subwords, tokenizer, patch=knobs.folded, guidance=knobs.guidance)


def lesson(knobs: Knobs, model: Limner) -> Task[Limner, list[Any]]:
    """How it is trained; errors as those of `conversation_lesson` and of `language_basis`."""
    seeing, sees, subwords = knobs.seeing(), model.vision_language, model.subwords
    tokenizer, words = cast(Autoencoder, model.tokenizer), cast(LanguageBasis, sees.connector)
    pictures = tokenized_worlds(tokenizer, knobs.scenes, knobs.seed, (knobs.out or Path("runs")) / "cache")
    about = sources(seeing, OFTEN)
    size, length, texts = knobs.vocabulary, knobs.text_length, chain(said(about), pictures.captions)
    subwords.vocabulary = Subwords.trained(texts, size=size, length=length, speaks=True).vocabulary
    adopt_encoder(seeing, sees)
    if knobs.encoder is not None:
        language_basis.start(knobs.encoder, words, subwords, range(size))
    held_out = talks(Scenes(0, split="heldout", size=knobs.size, objects=(1, 4)), CHECKED)
    answers, given_back = ConversationLesson(sees, about, held_out), reconstruction(knobs, sees, tokenizer)
    scenes, grid = [one.scenes for one in about], knobs.size // knobs.patch
    seen = GroundedConversations(answers.batch, scenes, subwords, grid, given_back)
    drawn = text_to_image_task(model, pictures, SHARES, seed=knobs.seed)
    with torch.no_grad():
        words.settle(sees.language.words, sees.encoder(answers.batch(0, MEASURED)["image"]).vectors)
    return joint_task(
        model,
        [JointPart(seen.batch, seen.losses), drawing(drawn.batch, model.generator.drop, knobs.seed, times=knobs.drawn)],
        {"reconstruction": knobs.reconstruction, "grounding": knobs.grounding, "drawn": knobs.drawing},
        extra=given_back,
        preview=drawn.preview,
        validate=lambda trained: answers.validate(trained.vision_language),
    )


def reconstruction(knobs: Knobs, model: VisionLanguageModel, tokenizer: Autoencoder) -> Reconstruction:
    """Denoising of what is seen from the hidden states there."""
    target = FoldedLatents(tokenizer, tokenizer.quantizer.channels, model.slots)
    side, width = side_of(model.slots), knobs.denoiser_width
    network = TokenDenoiser(target.channels, knobs.width, side, width=width, depth=3, heads=max(width // 32, 1))
    return Reconstruction(target, Denoising(knobs.width, network, draws=knobs.draws))


def scores(model: Limner, question: EvaluationRequest) -> dict[str, Any]:
    """Answers, as `seeing_scores`, and drawings, as `generator_scores`."""
    return merged(seeing_scores(model.vision_language, question), generator_scores(model, question))


RECIPE = Recipe(
    state="works",
    paper="arXiv:2503.19404",
    knobs=Knobs,
    build=build,
    lesson=lesson,
    score=scores,
    tiny={
        **TINY,
        "vocabulary": 512,
        "text_length": 48,
        "scenes": 8,
        "rank": 16,
        "head_width": 16,
        "head_depth": 1,
        "denoiser_width": 32,
    },
)
