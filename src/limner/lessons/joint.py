"""Several losses of one model, learned together.

    L = sum_k w_k L_k

Each L_k is a mean over a batch of its own stream, such as answers about pictures, or pictures of captions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor, nn

from limner.models.limner import Limner
from limner.train.task import Loss, ModelT, Task
from limner.types import Image, Latents, Rng, derive_seed
from limner.unified.segments import Packed, Segment, lay_out


@dataclass(frozen=True)
class JointPart(Generic[ModelT]):
    """A stream of batches and their losses.

    Args:
        batch: items ``start .. start + size``, as in a `limner.train.task.Task`.
        losses: of a model and a batch, by name.
        times: items of this part per item of the run.
    """

    batch: Callable[[int, int], Any]
    losses: Callable[[ModelT, Any, Rng], Mapping[str, Tensor]]
    times: int = 1


def joint_task(
    model: ModelT,
    parts: Sequence[JointPart[ModelT]],
    weights: Mapping[str, float],
    *,
    extra: nn.Module | None = None,
    preview: Callable[[ModelT], Image | None] | None = None,
    validate: Callable[[ModelT], dict[str, float]] | None = None,
) -> Task[ModelT, list[Any]]:
    """The parts' weighted sum; they draw from one `Rng` in their order, and every loss is logged unweighted.

    Args:
        model: what is trained.
        parts: what it learns from.
        weights: of losses by name; those that have none here count once.
        extra, preview, validate: see `Task`.
    """

    def batch(start: int, size: int) -> list[Any]:
        return [part.batch(start * part.times, size * part.times) for part in parts]

    def loss(model: ModelT, batch: list[Any], rng: Rng) -> Loss:
        losses: dict[str, Tensor] = {}
        for part, own in zip(parts, batch, strict=True):
            losses |= part.losses(model, own, rng)
        total = torch.stack([weights.get(name, 1.0) * value for name, value in losses.items()]).sum()
        return total, {name: value.detach() for name, value in losses.items()}

    return Task(model, batch, loss, extra, preview, validate)


def drawing(
    batch: Callable[[int, int], Mapping[str, Tensor]], withheld: float, seed: int, *, times: int = 1
) -> JointPart[Limner]:
    """Captions and their pictures, to be drawn by masks.

    Args:
        batch: of a task of `limner.lessons.captions`: ``text`` and ``tokens``.
        withheld, seed: see `pictures_of_captions`.
        times: see `JointPart`.
    """

    def rows(start: int, size: int) -> dict[str, Tensor]:
        items = batch(start, size)
        return pictures_of_captions(items["text"], items["tokens"], start, withheld, seed).to_dict()

    def losses(model: Limner, batch: dict[str, Tensor], rng: Rng) -> dict[str, Tensor]:
        return model.unified().loss(Packed.from_dict(batch), rng)

    return JointPart(rows, losses, times)


def pictures_of_captions(
    captions: Int[Tensor, "b k"], pictures: Latents, start: int, withheld: float, seed: int
) -> Packed:
    """Rows of a caption and its picture, to be drawn by masks.

    Args:
        captions: subwords, padded; padding is read like any subword.
        pictures: tokens.
        start: number of the first row in the stream.
        withheld: share of captions in whose place stand special tokens, for guidance (arXiv:2207.12598).
        seed: of the stream.
    """
    rows = []
    for index, (caption, picture) in enumerate(zip(captions, pictures, strict=True), start):
        gone = np.random.default_rng(derive_seed(seed, "withheld", index)).random() < withheld
        prompt = Segment("special", range(len(caption))) if gone else Segment("text", caption)
        rows.append([prompt, Segment("drawn", values=picture, learned=True, rule="masked")])
    return lay_out(rows)
