"""What all encoders trained by captions share: knobs, the vision transformer, lesson and scores.

    (image, caption) -> encoder -> objective (the system's own)

Data, training and scoring are imported when they are needed, so that loading a model imports neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from torch.nn import functional

from limner.encoders.matcher import ImageTextModel
from limner.encoders.vit import VisionTransformer
from limner.recipe import EvaluationRequest
from limner.train.settings import Settings
from limner.train.task import Task

Lesson: TypeAlias = Task[ImageTextModel, Any]
TINY = {"size": 16, "patch": 8, "width": 64, "depth": 1, "vocabulary": 512}


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


def lesson(knobs: Knobs, model: ImageTextModel) -> Lesson:
    """Training on the captioned worlds, with subwords of their own or of another model."""
    from limner.lessons import pairs

    model.subwords = pairs.subwords_for(
        knobs.subwords, vocabulary=knobs.vocabulary, length=knobs.text_length, size=knobs.size, seed=knobs.seed
    )
    return pairs.image_text_task(model, pairs.stream(knobs.size, knobs.seed), knobs.size)


def score(model: ImageTextModel, request: EvaluationRequest) -> dict[str, Any]:
    """Linear probes, zero-shot classification and retrieval; see `limner.recipes.scores`."""
    from limner.recipes.scores import encoder_scores

    return encoder_scores(model, request)
