"""Training on several numbers of visual tokens: all of them in every batch, or one that is drawn for it.

    loss = mean over the counts c of a batch of  loss(model whose connector makes c vectors)

(M3, arXiv:2405.17430, Eq. 2, all of them; MQT, arXiv:2405.19315, Section 3.2, one at random.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from limner.connectors.connector import Counted
from limner.errors import InputError
from limner.lessons.conversations import ConversationLesson, ConversationTask
from limner.models.vision_language import VisionLanguageModel
from limner.train.task import Loss
from limner.types import Rng


def of_count(model: VisionLanguageModel, count: int) -> VisionLanguageModel:
    """The model with ``count`` visual tokens; raises `InputError` if its connector makes one number, or not this."""
    if not isinstance(model.connector, Counted):
        raise InputError(
            f"the connector of this model, a {type(model.connector).__name__}, makes one number of tokens: use a model "
            "that was trained with several, such as m3 or mqt"
        )
    return model.changed(connector=model.connector.with_count(count))


class CountsLesson:
    """A `ConversationLesson` under several counts.

    Args:
        lesson: of the model.
        counts: those of the batch that begins at an item.
    """

    def __init__(self, lesson: ConversationLesson, counts: Callable[[int], Sequence[int]]) -> None:
        self.lesson, self.counts = lesson, counts

    def batch(self, start: int, size: int) -> dict[str, Tensor]:
        """The batches of every count, by ``count/name``."""
        found: dict[str, Tensor] = {}
        for count in self.counts(start):
            made = self.lesson.seen_by(of_count(self.lesson.model, count)).batch(start, size)
            found |= {f"{count}/{name}": value for name, value in made.items()}
        return found

    def loss(self, model: VisionLanguageModel, batch: dict[str, Tensor], rng: Rng) -> Loss:
        """The mean of their losses, and each of them to log."""
        counts = sorted({int(name.partition("/")[0]) for name in batch})
        losses = []
        for count in counts:
            part = {name.partition("/")[2]: value for name, value in batch.items() if name.startswith(f"{count}/")}
            losses.append(self.lesson.loss(of_count(model, count), part, rng)[0])
        logged: dict[str, Tensor | float] = {
            f"loss/{count}": loss.detach() for count, loss in zip(counts, losses, strict=True)
        }
        return torch.stack(losses).mean(), logged

    def task(self) -> ConversationTask:
        """What the loop trains."""
        return replace(self.lesson.task(), batch=self.batch, loss=self.loss)
