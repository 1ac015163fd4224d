"""limner: one language model that answers about pictures and draws them, in its own words.

Four published ideas around one small transformer, trained together on the embedded worlds:

    see           patches as combinations of the model's own words       language basis, arXiv:2503.19404, 2502.01341
    first eyes    a vision transformer that names subwords of captions   SuperClass, arXiv:2411.03313
    look again    hidden states at a picture must denoise its latents    ROSS-D, arXiv:2410.09575
    draw          masked autoregression with a diffusion head            MAR, arXiv:2406.11838

    L = L_answers + w_r L_reconstruction + w_g L_grounding + w_d L_drawing

SuperClass learns which words a picture holds, not where: its patches say the words of the whole. Grounding is the
cross-entropy between a patch's mixture and the words of what it shows, which the scenes know. Known tokens of a drawing
enter through the principal directions of the same table of words.

    limner train superclass --out runs/superclass
    limner train limner --encoder runs/superclass --out runs/limner
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor

from limner.connectors.basis import LanguageBasis
from limner.data.conversations import SceneConversations
from limner.data.scenes import Scenes
from limner.data.scenes.patches import patch_names
from limner.evaluate.report import merged
from limner.generators.generator import Generator
from limner.generators.heads.diffusion import DiffusionHead
from limner.generators.orders import RandomMasked
from limner.languages.language import LanguageModel
from limner.languages.subwords import Subwords
from limner.lessons.captions import TextToImageTask, draw_prompts, text_to_image_task, tokenized_worlds
from limner.models.limner import Limner
from limner.models.text_to_image import TextToImage
from limner.models.vision_language import VisionLanguageModel
from limner.recipe import Question, Recipe
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
from limner.train.task import Loss, Task
from limner.types import Image, Rng
from limner.unified.denoiser import TokenDenoiser
from limner.unified.drawing import LanguageBackbone, Prompt, WordSpan
from limner.unified.reconstruction import Denoising, Reconstruction
from limner.unified.segments import Packed
from limner.unified.targets import FoldedLatents, side_of

SHARES = (0.25, 0.3, 0.15, 0.15, 0.15)  # of emoji, and of scenes of one thing and of two, see `captioned_worlds`

OFTEN = {"relation": 16.0, "size": 4.0, "position": 2.0}  # which kinds of question are asked more: those learnt last


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
    """Weight of patches that say the words of what they show."""
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
    joined = language_basis.connector(seeing, encoder.width, words, torch.arange(len(words)))
    joined.settle(words, torch.randn(1, (knobs.size // knobs.patch) ** 2, encoder.width))
    seer = VisionLanguageModel(encoder, joined, language, subwords, learns_to_see=True, placed=True)
    tokenizer = frozen_tokenizer(knobs.tokenizer, discrete=False, patch=knobs.folded)
    channels = tokenizer.quantizer.channels * knobs.folded**2
    made = generator(knobs, language, tokenizer.layout.length // knobs.folded**2, channels)
    return Limner(seer, TextToImage(made, subwords, tokenizer, patch=knobs.folded, guidance=knobs.guidance))


def generator(knobs: Knobs, language: LanguageModel, count: int, channels: int) -> Generator:
    """Masked autoregression over ``count`` tokens with the language model as its backbone."""
    head = DiffusionHead(
        channels,
        knobs.width,
        width=knobs.head_width,
        depth=knobs.head_depth,
        steps=knobs.head_steps,
        velocity=True,
        emphasis=1000.0,
    )
    return Generator(
        count=count,
        order=RandomMasked(),
        backbone=LanguageBackbone(language, count),
        head=head,
        condition=Prompt(language, knobs.text_length),
        embed=WordSpan(channels, language.words, knobs.rank),
    )


def grounding_loss(shares: Float[Tensor, "b n v"], ids: Int[Tensor, "b n k"]) -> Float[Tensor, ""]:
    """Cross-entropy between words and their shares in a patch, in nats; all things of a picture, and its background,
    count alike, however many patches they fill.

    Args:
        shares: of every word in every patch.
        ids: words of what a patch shows, padded with 0; nothing but 0 where that is unclear.
    """
    words, patches = ids > 0, (ids > 0).any(2)
    alike = ((ids[:, :, None] == ids[:, None]).all(3) & patches[:, :, None]).sum(1).clamp_min(1)
    weight = patches / alike
    missed = -shares.float().clamp_min(1e-8).log().gather(2, ids) * words
    return (weight * missed.sum(2) / words.sum(2).clamp_min(1)).sum() / weight.sum().clamp_min(1)


class LimnerLesson:
    """What teaches a `Limner`: pictures to talk about and captions to draw.

    Args:
        model: what is trained.
        taught: scenes that are talked about, taken in turn.
        drawing: captions and latents.
        reconstruction: of what was seen; trained beside the model and not shipped.
        knobs: weights of the losses.
    """

    def __init__(
        self,
        model: Limner,
        taught: Sequence[SceneConversations],
        drawing: TextToImageTask,
        reconstruction: Reconstruction,
        knobs: Knobs,
    ) -> None:
        self.model = model
        held_out = talks(Scenes(0, split="heldout", size=knobs.size, objects=(1, 4)), CHECKED)
        self.seeing = ConversationLesson(model.seer, taught, held_out)
        self.taught, self.drawing, self.reconstruction, self.knobs = taught, drawing, reconstruction, knobs

    def batch(self, start: int, size: int) -> dict[str, dict[str, Tensor]]:
        """Conversations ``start .. start + size``, and ``drawn`` times as many captions."""
        drawn = self.knobs.drawn
        return {
            "seeing": self.seeing.batch(start, size),
            "shown": {"ids": self.shown(start, size)},
            "drawing": self.drawing.batch(start * drawn, size * drawn),
        }

    def shown(self, start: int, size: int) -> Int[Tensor, "b n k"]:
        """Words of what each patch shows, padded with 0; emoji have none."""
        seer = self.model.seer
        count = len(self.taught)
        sources = [(self.taught[k % count].scenes, k // count) for k in range(start, start + size)]
        names = [patch_names(scenes[k % len(scenes)], self.knobs.size // self.knobs.patch) for scenes, k in sources]
        ids = {text: seer.vocabulary.ids(text) for row in names for text in row}
        longest = max(map(len, ids.values()))
        return torch.tensor([[ids[text] + [0] * (longest - len(ids[text])) for text in row] for row in names])

    def task(self) -> Task[Limner, dict[str, dict[str, Tensor]]]:
        """What the loop trains."""
        return Task(self.model, self.batch, self.loss, self.reconstruction, self.preview, self.validate)

    def loss(self, model: Limner, batch: dict[str, dict[str, Tensor]], rng: Rng) -> Loss:
        """The sum of the four, each of which is logged."""
        seer, knobs, (seen, drawn) = model.seer, self.knobs, (batch["seeing"], batch["drawing"])
        packed = Packed.from_dict(seen)
        patches = seer.encoder(seen["image"])
        hidden = seer.hidden(packed, seer.connect(patches))
        looks, has_picture = seer.at_pictures(packed, hidden)
        shares = cast(LanguageBasis, seer.connector).coefficients(patches.vectors, seer.language.words)
        losses = {
            "answers": seer.answer_loss(packed, hidden),
            "reconstruction": self.reconstruction(looks, seen["image"], has_picture, rng),
            "grounding": grounding_loss(shares, batch["shown"]["ids"]),
            "drawing": self.drawing.loss(model.drawer, drawn, rng)[0],
        }
        weights = (1.0, knobs.reconstruction, knobs.grounding, knobs.drawing)
        total = torch.stack([weight * loss for weight, loss in zip(weights, losses.values(), strict=True)]).sum()
        return total, {name: loss.detach() for name, loss in losses.items()}

    def preview(self, model: Limner) -> Image:
        """What the model draws of the preview prompts."""
        return draw_prompts(model.drawer)

    def validate(self, model: Limner) -> dict[str, float]:
        """Answers to a few held-out questions."""
        return self.seeing.validate(model.seer)


def lesson(knobs: Knobs, model: Limner) -> Task[Limner, dict[str, dict[str, Tensor]]]:
    """How it is trained; errors as those of `conversation_lesson` and of `language_basis`."""
    seer, drawer = model.seer, model.drawer
    tokenizer = cast(Autoencoder, drawer.tokenizer)
    pieces = tokenized_worlds(tokenizer, knobs.scenes, knobs.seed, (knobs.out or Path("runs")) / "cache")
    taught = sources(knobs.seeing(), OFTEN)
    texts = chain(said(taught), pieces.captions)
    drawer.subwords.vocabulary = Subwords.trained(
        texts, size=knobs.vocabulary, length=knobs.text_length, speaks=True
    ).vocabulary
    adopt_encoder(knobs.seeing(), seer)
    words = cast(LanguageBasis, seer.connector)
    if knobs.encoder is not None:
        language_basis.start(knobs.encoder, words, drawer.subwords, range(knobs.vocabulary))
    drawing = text_to_image_task(drawer, pieces, SHARES, seed=knobs.seed)
    made = LimnerLesson(model, taught, drawing, reconstruction(knobs, seer, tokenizer), knobs)
    with torch.no_grad():
        words.settle(seer.language.words, seer.encoder(made.seeing.batch(0, MEASURED)["image"]).vectors)
    return made.task()


def reconstruction(knobs: Knobs, seer: VisionLanguageModel, tokenizer: Autoencoder) -> Reconstruction:
    """Denoising of what is seen from the hidden states at its slots."""
    target = FoldedLatents(tokenizer, tokenizer.quantizer.channels, seer.slots)
    side, width = side_of(seer.slots), knobs.denoiser_width
    network = TokenDenoiser(target.channels, knobs.width, side, width=width, depth=3, heads=max(width // 32, 1))
    return Reconstruction(target, Denoising(knobs.width, network, draws=knobs.draws))


def scores(model: Limner, asked: Question) -> dict[str, Any]:
    """Answers, as `seeing_scores`, and drawings, as `generator_scores`."""
    return merged(seeing_scores(model.seer, asked), generator_scores(model.drawer, asked))


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
