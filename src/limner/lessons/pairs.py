"""Teaching an encoder by captions: the worlds' pictures with their words, whatever the objective.

Emoji by name, at any size on any plain colour; scenes of one or two things on white; scenes of up to four, anywhere, on
backgrounds of all kinds. Nothing is mirrored or recoloured: captions say left and red.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from limner.data.emoji import Emoji
from limner.data.scenes import HELD_OUT_NAMES, Scenes
from limner.data.source import Source
from limner.data.stream import Stream, Subset, chain, shifted
from limner.encoders.matcher import ImageTextModel
from limner.encoders.vit import VisionTransformer
from limner.evaluate.encoder import evaluate_encoder
from limner.evaluate.retrieval import retrieval_scores
from limner.evaluate.zero_shot import zero_shot_scores
from limner.languages.subwords import Subwords
from limner.lessons.pictures import Stickers
from limner.lessons.vocabularies import subwords_of
from limner.nn.pixels import to_tensor
from limner.recipe import Question
from limner.store.files import weights_hash
from limner.train.settings import Settings
from limner.types import Image, Rng

HELD_OUT = 200  # scenes per score while training
READ = 1_000  # scenes of each kind whose captions the vocabulary is learned from: they hold every word there is


@dataclass(frozen=True, kw_only=True)
class Knobs(Settings):
    """A small vision transformer and the captions it learns from."""

    size: int = 64
    """Pixels on a side."""
    patch: int = 8
    """Pixels on a side of a patch."""
    width: int = 192
    """Width of the transformer, in heads of 64."""
    depth: int = 4
    """Blocks of the transformer."""
    text_length: int = 48
    """Subwords of a caption."""
    vocabulary: int = 1536
    """Subwords there are."""
    subwords: str | None = None
    """Name or folder of a model, such as a language model, whose subwords are used; without it they are learned."""
    images: int = 400_000
    batch: int = 128
    lr: float = 1e-3
    muon: float = 3e-3
    warmup: int = 10_000
    ema: int = 10_000
    weight_decay: float = 0.05
    sample_every: int = 40_000
    checkpoint_every: int = 40_000


def encoder(knobs: Knobs) -> VisionTransformer:
    """The vision transformer of these knobs."""
    return VisionTransformer(
        size=knobs.size,
        patch=knobs.patch,
        width=knobs.width,
        depth=knobs.depth,
        heads=max(knobs.width // 64, 1),
        activation=functional.silu,
    )


def sources(size: int, seed: int) -> list[Source]:
    """Emoji, scenes on white, and scenes of all kinds; no caption names a held-out composition."""
    stickers = Stickers(size)
    apart = [i for i in range(len(stickers)) if stickers.emoji.name(i) not in HELD_OUT_NAMES]
    return [
        Subset(stickers, apart),
        Scenes(seed, split="train", size=size, objects=(1, 2)),
        Scenes(seed + 1, split="train", size=size, objects=(1, 4), background="texture", grid=False),
    ]


def captions(size: int, seed: int) -> Iterable[str]:
    """What there is to say: all names of emoji, and the captions of some scenes of each kind."""
    emoji, (_, *scenes) = Emoji("train"), sources(size, seed)
    yield from (emoji.name(i) for i in range(len(emoji)))
    yield from (source[i].caption for source in scenes for i in range(READ))


class ImageTextTask:
    """Trains a `ImageTextModel` on captioned pictures.

    Args:
        model: what is trained.
        knobs: size and seed of the pictures.
    """

    def __init__(self, model: ImageTextModel, knobs: Knobs) -> None:
        self.model: nn.Module = model
        self.extra: nn.Module | None = None
        self.size = knobs.size
        vary = [chain(Stickers(knobs.size).vary, shifted), None, None]
        self.stream = Stream(sources(knobs.size, knobs.seed), (0.4, 0.4, 0.2), vary=vary, seed=knobs.seed)

    def batch(self, start: int, size: int) -> dict[str, Tensor]:
        """Pictures and ids of their captions."""
        examples = self.stream.take(start, size)
        assert isinstance(self.model, ImageTextModel)
        ids = self.model.subwords.encode([example.caption for example in examples])
        return {"image": to_tensor([example.image for example in examples]), "ids": ids}

    def loss(self, model: nn.Module, batch: dict[str, Tensor], rng: Rng) -> tuple[Tensor, dict[str, Tensor | float]]:
        """The objective's."""
        assert isinstance(model, ImageTextModel)
        return model.taught.loss(batch["image"], batch["ids"]), {}

    def preview(self, model: nn.Module) -> Image | None:
        """Nothing: an encoder draws no pictures."""
        return None

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Zero-shot classification and retrieval with few held-out pictures."""
        assert isinstance(model, ImageTextModel)
        scores = zero_shot_scores(model, self.size, HELD_OUT)
        return {**scores, **retrieval_scores(model, self.size, HELD_OUT)}


def image_text_task(knobs: Knobs, model: ImageTextModel) -> ImageTextTask:
    """Train on the worlds, with subwords of one's own or of another model; raises `InputError` if that has none, or
    more than there is room for."""
    if knobs.subwords is None:
        model.subwords = Subwords.trained(
            captions(knobs.size, knobs.seed), size=knobs.vocabulary, length=knobs.text_length
        )
        return ImageTextTask(model, knobs)
    model.subwords = subwords_of(knobs.subwords, most=knobs.vocabulary, length=knobs.text_length)
    return ImageTextTask(model, knobs)


def encoder_scores(model: ImageTextModel, asked: Question) -> dict[str, Any]:
    """What the features know, and whether pictures lie where their words do; a seed has no effect."""
    return evaluate_encoder(model.encoder, model, model=asked.name, weights=weights_hash(asked.name), count=asked.count)
