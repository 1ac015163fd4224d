"""What all tokenizers share: knobs of the loss and the data, the convolutional autoencoder, lesson and scores.

    image -> encoder -> quantizer (a system's own) -> decoder -> image;  loss = pixels + features + adversary + penalty

Data, training and scoring are imported when they are needed, so that loading a model imports neither.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from torch import nn

from limner.data.images import MAX_PIXELS
from limner.recipe import EvaluationRequest
from limner.store.files import WEIGHTS, fill, locate, read_weights
from limner.tokenizers.autoencoder import Autoencoder
from limner.tokenizers.quantizers.quantizer import Quantizer
from limner.tokenizers.tokenizer import Objective, QuantizingTokenizer
from limner.train.settings import RARE, RUN, SHARED, Settings
from limner.train.task import Task

if TYPE_CHECKING:
    from limner.tokenizers.quantizers.vector import VectorQuantizer

Lesson: TypeAlias = Task[Any, Any]
TINY = {"size": 32, "widths": (8, 8, 8), "encoder_depths": (1, 1, 1), "decoder_depths": (1, 1, 1)}


@dataclass(frozen=True, kw_only=True)
class Knobs(Settings):
    """A tokenizer of small images, whatever its loss."""

    data: Path | None = None
    """Your own pictures, a folder or tar shards; without them emoji, scenes and photographs."""
    max_pixels: int = field(default=MAX_PIXELS, metadata={**RUN, **RARE})
    """Pictures of yours with more pixels are refused before they are decoded."""
    finetune: str | None = field(default=None, metadata=SHARED)
    """Name or folder of a tokenizer whose decoder alone is trained on: its tokens stay as they are."""
    size: int | tuple[int, int] = 64
    """Pixels of a picture: one number for a square, or height and width, as in --size 96 64."""
    images: int = 140_000
    batch: int = 32
    lr: float = 2e-3
    warmup: int = 4_000
    ema: int = 3_000
    sample_every: int = 20_000
    checkpoint_every: int = 20_000


@dataclass(frozen=True, kw_only=True)
class ReconstructionKnobs(Knobs):
    """A tokenizer whose loss is the reconstruction error."""

    l1: float = 0.5
    """Weight of the absolute difference of pixels."""
    l2: float = 1.0
    """Weight of the squared difference of pixels."""
    perceptual: float = 0.0
    """Weight of the difference in features."""
    adversarial: float = 0.0
    """Weight of the patch discriminator, times its adaptive weight."""


@dataclass(frozen=True, kw_only=True)
class Convolutional(ReconstructionKnobs):
    """A convolutional tokenizer; there is a latent for 8x8 pixels."""

    widths: tuple[int, ...] = (32, 96, 192)
    """Channels of the network per level, finest first; each level halves the picture."""
    encoder_depths: tuple[int, ...] = (1, 1, 1)
    """Residual blocks of the encoder per level."""
    decoder_depths: tuple[int, ...] = (1, 2, 2)
    """Residual blocks of the decoder per level."""


@dataclass(frozen=True, kw_only=True)
class Continuous(Convolutional):
    """A convolutional tokenizer of latents without codes."""

    channels: int = 12
    """Channels of a latent."""


@dataclass(frozen=True, kw_only=True)
class Codebook(ReconstructionKnobs):
    """A codebook of running averages in place of continuous latents."""

    channels: int = 12
    """Channels of a latent."""
    entries: int = 4096
    """Rows of the codebook."""
    commitment: float = field(default=0.25, metadata=RARE)
    """Weight that holds the encoder to the rows it chose."""
    revive_below: float = 0.1
    """A row chosen less often than this share of an even division is reborn; 0 lets rows die."""


def codebook(knobs: Codebook, channels: int) -> VectorQuantizer:
    """The codebook of these knobs, with rows of so many channels."""
    from limner.tokenizers.quantizers.vector import VectorQuantizer

    return VectorQuantizer(knobs.entries, channels, commitment=knobs.commitment, revive_below=knobs.revive_below)


def autoencoder(knobs: Convolutional, quantizer: Quantizer) -> Autoencoder:
    """The convolutional autoencoder of these knobs around a quantizer."""
    return Autoencoder(
        quantizer,
        size=knobs.size,
        widths=knobs.widths,
        encoder_depths=knobs.encoder_depths,
        decoder_depths=knobs.decoder_depths,
    )


def lesson_by(objective: Objective, knobs: Knobs, model: QuantizingTokenizer, extra: nn.Module | None = None) -> Lesson:
    """Training by an objective on the worlds or on the user's images; with ``--finetune`` of the decoder alone.
    ``extra``: what the objective trains beside the model."""
    from limner.lessons.pictures import learning_from, tokenizer_task

    if knobs.finetune is not None:
        source = locate(knobs.finetune)
        fill(cast(nn.Module, model), read_weights(source / WEIGHTS), source)
        cast(nn.Module, model).requires_grad_(False)
        model.decoder.requires_grad_(True)
    stream, held_out = learning_from(knobs.data, knobs.size, knobs.seed, knobs.max_pixels)
    return tokenizer_task(model, stream, objective, held_out, extra)


def lesson(knobs: ReconstructionKnobs, model: QuantizingTokenizer) -> Lesson:
    """Training by the reconstruction error, see `lesson_by`."""
    from limner.lessons.pictures import reconstruction

    objective = reconstruction(knobs.l1, knobs.l2, knobs.perceptual, knobs.adversarial)
    return lesson_by(objective, knobs, model, objective.discriminator)


def score(model: QuantizingTokenizer, request: EvaluationRequest) -> dict[str, Any]:
    """Reconstruction of held-out images; see `limner.recipes.scores`."""
    from limner.recipes.scores import tokenizer_scores

    return tokenizer_scores(model, request)
