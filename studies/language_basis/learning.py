"""Descending a loss over the items of a pool, by the house's loop, in an order that a seed decides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn

from limner.train.loop import train
from limner.train.settings import Settings
from limner.train.task import Task
from limner.types import derive_seed

NEVER = 2**40  # images between checkpoints that are not wanted


def learning(
    model: nn.Module,
    count: int,
    seed: int,
    loss: Callable[[Int[Tensor, "b"]], Tensor],
    extra: nn.Module | None = None,
) -> Task[nn.Module, Int[Tensor, "b"]]:
    """Descend a loss of some of ``count`` items of a pool, which are shuffled anew every pass."""
    return Task(
        model, lambda start, size: shuffled(start, size, count, seed), lambda _, batch, __: (loss(batch), {}), extra
    )


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


def descend(task: Task[Any, Any], settings: Settings) -> None:
    """Train by the house's loop without keeping anything but the weights in hand; an interruption is passed on."""
    quiet = replace(
        settings, warmup=min(settings.warmup, settings.images // 4), sample_every=NEVER, checkpoint_every=NEVER
    )
    with TemporaryDirectory() as folder:
        run = train(task, quiet, Path(folder), bar=False)
    if run.images < settings.images:
        raise KeyboardInterrupt
