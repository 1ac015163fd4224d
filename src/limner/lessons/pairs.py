"""Training an encoder by captions: the worlds' images with their captions, whatever the objective.

Emoji by name, at any size on any plain colour; scenes of one or two things on white; scenes of up to four, anywhere, on
backgrounds of all kinds. Nothing is mirrored or recoloured: captions say left and red.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from torch import Tensor

from limner.data.emoji import Emoji
from limner.data.scenes import HELD_OUT_NAMES, Scenes
from limner.data.source import Source
from limner.data.stream import Stream, Subset, chain, shifted
from limner.encoders.matcher import ImageTextModel
from limner.evaluate.retrieval import retrieval_scores
from limner.evaluate.zero_shot import zero_shot_scores
from limner.languages.subwords import Subwords
from limner.lessons.pictures import Stickers
from limner.lessons.vocabularies import subwords_of
from limner.nn.pixels import to_tensor
from limner.nn.whole_batch import coupling_of
from limner.train.task import Loss, Task
from limner.types import Rng

HELD_OUT = 200  # scenes per score while training
READ = 1_000  # scenes of each kind whose captions the vocabulary is learned from: they hold every word there is


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


def stream(size: int, seed: int) -> Stream:
    """The captioned worlds, their emoji at any size on any plain colour and shifted."""
    vary = [chain(Stickers(size).vary, shifted), None, None]
    return Stream(sources(size, seed), (0.4, 0.4, 0.2), vary=vary, seed=seed)


ImageTextTask: TypeAlias = Task[ImageTextModel, dict[str, Tensor]]


def image_text_task(model: ImageTextModel, pairs: Stream, size: int) -> ImageTextTask:
    """Train an `ImageTextModel` on captioned images of ``size`` pixels on a side, by its own objective."""

    def batch(start: int, count: int) -> dict[str, Tensor]:
        examples = pairs.take(start, count)
        ids = model.subwords.encode([example.caption for example in examples])
        return {"image": to_tensor([example.image for example in examples]), "ids": ids}

    def loss(model: ImageTextModel, batch: dict[str, Tensor], rng: Rng) -> Loss:
        return model.learner.loss(batch["image"], batch["ids"]), {}

    def validate(model: ImageTextModel) -> dict[str, float]:
        return {**zero_shot_scores(model, size, HELD_OUT), **retrieval_scores(model, size, HELD_OUT)}

    return Task(model, batch, loss, validate=validate, coupling=coupling_of(model.learner))


def subwords_for(name: str | None, *, vocabulary: int, length: int, size: int, seed: int) -> Subwords:
    """Subwords learned from the captions, or those of the model ``name``; raises `InputError` if that has none, or more
    than ``vocabulary``."""
    if name is None:
        return Subwords.trained(captions(size, seed), size=vocabulary, length=length)
    return subwords_of(name, most=vocabulary, length=length)
