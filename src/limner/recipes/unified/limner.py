"""limner: one language model that answers about pictures and draws them, in its own words.

Four published ideas around one small transformer, trained together on the embedded worlds:

    see           patches as combinations of the model's own words       language basis, arXiv:2503.19404, 2502.01341
    first eyes    a vision transformer that names subwords of captions   SuperClass, arXiv:2411.03313
    look again    hidden states at a picture must denoise its latents    ROSS-D, arXiv:2410.09575
    draw          masked autoregression with a diffusion head            MAR, arXiv:2406.11838

    L = L_answers + w_r L_reconstruction + w_a L_anchor + w_d L_drawing

The anchor keeps a picture's mixture of words near the words of its caption, so that it can be read. Known tokens of a
drawing enter through the principal directions of the same table of words.

    limner train superclass --out runs/superclass
    limner train limner --encoder runs/superclass --out runs/limner
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from limner.connectors.basis import LanguageBasis
from limner.data.scenes import Scenes
from limner.decode.drawing import Drawer
from limner.decode.limner import Limner
from limner.encoders.objectives.subword_set import SubwordFrequency
from limner.evaluate.report import merged
from limner.generators.generator import Generator
from limner.generators.heads.diffusion import DiffusionHead
from limner.generators.orders import RandomMasked
from limner.languages.language import LanguageModel
from limner.languages.subwords import Subwords
from limner.recipes.generators.captioned import CaptionedTask, frozen_tokenizer, world_pieces
from limner.recipes.judging import generator_scores
from limner.recipes.recipe import Question, Recipe
from limner.recipes.understanding import language_basis
from limner.recipes.understanding.asked import CHECKED, AskedTask, adopt_encoder, said, seeing_scores, sources, talks
from limner.recipes.understanding.language_basis import MEASURED
from limner.tokenizers.autoencoder import Autoencoder
from limner.types import Image, Rng
from limner.unified.conversation import Packed
from limner.unified.denoiser import TokenDenoiser
from limner.unified.drawing import LanguageBackbone, Prompt, WordSpan
from limner.unified.reconstruction import Denoising, Reconstruction
from limner.unified.seer import Seer
from limner.unified.targets import FoldedLatents, side_of

SHARES = (0.25, 0.3, 0.15, 0.15, 0.15)  # of emoji, and of scenes of one thing and of two, see `captioned_worlds`
MARKS = (0, 1, 2)  # padding, unknown letters and the end: no words


@dataclass(frozen=True, kw_only=True)
class Knobs(language_basis.Knobs):
    """A model that sees and draws."""

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
    anchor: float = 0.1
    """Weight of keeping to the words of captions."""
    learns_to_see: bool = True
    """Go on training the encoder that was given."""
    classifier: bool = True
    """Start from the given encoder's own classifier into subwords (SuperClass)."""
    vocabulary: int = 1536
    """Subwords there are."""
    guidance: float = 3.0
    """Guidance that the finished model draws with."""
    images: int = 120_000
    muon: float = 2e-3


def build(knobs: Knobs) -> Limner:
    """A freshly initialised model."""
    seer = language_basis.build(knobs)
    seer.vocabulary = subwords = Subwords(knobs.text_length)
    tokenizer = frozen_tokenizer(knobs.tokenizer, discrete=False, patch=knobs.folded)
    channels = tokenizer.quantizer.channels * knobs.folded**2
    made = generator(knobs, seer.language, tokenizer.layout.length // knobs.folded**2, channels)
    return Limner(seer, Drawer(made, subwords, tokenizer, patch=knobs.folded, guidance=knobs.guidance))


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


class Lessons(nn.Module):
    """What is trained beside the model and not shipped.

    Args:
        reconstruction: denoises what was seen.
        vocabulary: subwords there are.
    """

    def __init__(self, reconstruction: Reconstruction, vocabulary: int) -> None:
        super().__init__()
        self.reconstruction = reconstruction
        self.frequency = SubwordFrequency(vocabulary, MARKS)

    def anchor(self, shares: Float[Tensor, "b v"], ids: Int[Tensor, "b k"]) -> Float[Tensor, ""]:
        """Cross-entropy between the words of a caption, the rarer the weightier, and their shares in its picture."""
        return self.frequency(shares.float().clamp_min(1e-6).log(), ids)


class LimnerTask:
    """Trains a `Limner` on pictures to talk about and captions to draw.

    Args:
        model: what is trained.
        seeing: conversations about pictures.
        drawing: captions and latents.
        lessons: trained beside the model.
        knobs: weights of the losses.
    """

    def __init__(
        self, model: Limner, seeing: AskedTask, drawing: CaptionedTask, lessons: Lessons, knobs: Knobs
    ) -> None:
        self.model: nn.Module = model
        self.extra: nn.Module | None = lessons
        self.seeing, self.drawing, self.lessons, self.knobs = seeing, drawing, lessons, knobs

    def batch(self, start: int, size: int) -> dict[str, dict[str, Tensor]]:
        """Conversations ``start .. start + size``, and ``drawn`` times as many captions."""
        drawn = self.knobs.drawn
        return {
            "seeing": self.seeing.batch(start, size),
            "drawing": self.drawing.batch(start * drawn, size * drawn),
        }

    def loss(
        self, model: nn.Module, batch: dict[str, dict[str, Tensor]], rng: Rng
    ) -> tuple[Tensor, dict[str, Tensor | float]]:
        """The sum of the four, each of which is logged."""
        assert isinstance(model, Limner)
        seer, knobs, (seen, drawn) = model.seer, self.knobs, (batch["seeing"], batch["drawing"])
        packed = Packed(**{name: value for name, value in seen.items() if name != "image"})
        features = seer.encoder.features(seen["image"])
        hidden = seer.hidden(packed, seer.connector(features, seer.language.words))
        looks, has_picture = seer.at_pictures(packed, hidden)
        words = cast(LanguageBasis, seer.connector)
        losses = {
            "answers": seer.answer_loss(packed, hidden),
            "reconstruction": self.lessons.reconstruction(looks, seen["image"], has_picture, rng),
            "anchor": self.lessons.anchor(words.coefficients(features, seer.language.words).mean(1), told(packed)),
            "drawing": self.drawing.loss(model.drawer, drawn, rng)[0],
        }
        weights = (1.0, knobs.reconstruction, knobs.anchor, knobs.drawing)
        total = torch.stack([weight * loss for weight, loss in zip(weights, losses.values(), strict=True)]).sum()
        return total, {name: loss.detach() for name, loss in losses.items()}

    def preview(self, model: nn.Module) -> Image:
        """What the model draws of the preview prompts."""
        assert isinstance(model, Limner)
        return self.drawing.preview(model.drawer)

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Answers to a few held-out questions."""
        assert isinstance(model, Limner)
        return self.seeing.validate(model.seer)


def told(packed: Packed) -> Int[Tensor, "b n"]:
    """The subwords of the description, which is the last turn of every row, and 0 elsewhere."""
    last = packed.segments == packed.segments.amax(1, keepdim=True)
    return torch.where(last, packed.targets, 0).clamp_min(0)


def task(knobs: Knobs) -> LimnerTask:
    """How it is trained; errors as those of `asked_task` and of `language_basis`."""
    model = build(knobs)
    seer, drawer = model.seer, model.drawer
    tokenizer = cast(Autoencoder, drawer.tokenizer)
    pieces = world_pieces(tokenizer, knobs.scenes, knobs.seed, (knobs.out or Path("runs")) / "cache")
    taught = sources(knobs)
    texts = chain(said(taught), pieces.captions)
    drawer.subwords.vocabulary = Subwords.trained(
        texts, size=knobs.vocabulary, length=knobs.text_length, speaks=True
    ).vocabulary
    adopt_encoder(knobs, seer)
    seeing = AskedTask(seer, taught, talks(Scenes(0, split="heldout", size=knobs.size, objects=(1, 4)), CHECKED))
    words = cast(LanguageBasis, seer.connector)
    if knobs.classifier:
        language_basis.start(knobs, words, drawer.subwords, torch.arange(knobs.vocabulary))
    with torch.no_grad():
        words.settle(seer.language.words, seer.encoder.features(seeing.batch(0, MEASURED)["image"]))
    drawing = CaptionedTask(drawer, pieces, SHARES, seed=knobs.seed)
    return LimnerTask(model, seeing, drawing, Lessons(reconstruction(knobs, seer, tokenizer), knobs.vocabulary), knobs)


def reconstruction(knobs: Knobs, seer: Seer, tokenizer: Autoencoder) -> Reconstruction:
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
    task=task,
    score=scores,
)
