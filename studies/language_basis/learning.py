"""Descending a loss over the items of a pool, by the house's loop, in an order that a seed decides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from jaxtyping import Int
from torch import Tensor, nn

from limner.train.loop import train
from limner.train.settings import Settings
from limner.train.task import Task
from limner.types import Image, Rng, derive_seed

NEVER = 2**40  # images between checkpoints that are not wanted


class Learning:
    """A `limner.train.task.Task` around a loss of some items of a pool, which are shuffled anew every pass."""

    def __init__(self, model: nn.Module, count: int, seed: int, loss: Callable[[Int[Tensor, "b"]], Tensor]) -> None:
        self.model, self.count, self.seed, self.loss_of = model, count, seed, loss
        self.extra: nn.Module | None = None

    def batch(self, start: int, size: int) -> dict[str, Tensor]:
        """Which items."""
        return {"index": shuffled(start, size, self.count, self.seed)}

    def loss(self, model: nn.Module, batch: dict[str, Tensor], rng: Rng) -> tuple[Tensor, dict[str, Tensor | float]]:
        """As given."""
        return self.loss_of(batch["index"]), {}

    def preview(self, model: nn.Module) -> Image | None:
        """Nothing to show."""
        return None

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Nothing to score."""
        return {}


def shuffled(start: int, size: int, count: int, seed: int) -> Int[Tensor, "size"]:
    """Items ``start .. start + size`` of an endless stream of shuffles of ``count``: the order of the data."""
    found = []
    while size > 0:
        epoch, at = divmod(start, count)
        order = torch.randperm(count, generator=torch.Generator().manual_seed(derive_seed(seed, "order", epoch)))
        part = order[at : at + size]
        found.append(part)
        start, size = start + len(part), size - len(part)
    return torch.cat(found)


def descend(task: Task, settings: Settings) -> None:
    """Train by the house's loop without keeping anything but the weights in hand; an interruption is passed on."""
    quiet = replace(
        settings, warmup=min(settings.warmup, settings.images // 4), sample_every=NEVER, checkpoint_every=NEVER
    )
    with TemporaryDirectory() as folder:
        run = train(task, quiet, Path(folder), bar=False)
    if run.images < settings.images:
        raise KeyboardInterrupt
