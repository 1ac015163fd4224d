"""Equal compute: what a budget buys each recipe, in images.

    images = budget / cost of an image,    cost measured over a few steps: seconds of the processor, or operations

Schedules of the learning rate are then made for that many images, so that every recipe comes to its own end.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from limner.errors import InputError
from limner.train.run import Run
from limner.train.settings import Settings
from limner.train.task import Task

Unit = Literal["seconds", "flops", "images"]
UNITS: dict[str, tuple[float, Unit]] = {
    "s": (1.0, "seconds"),
    "m": (60.0, "seconds"),
    "h": (3600.0, "seconds"),
    "flops": (1.0, "flops"),
    "images": (1.0, "images"),
}
WARM = 2  # first steps, which cost more than those after them


@dataclass(frozen=True)
class Budget:
    """What one training may cost: ``amount`` of ``unit``, written ``text``."""

    text: str
    amount: float
    unit: Unit


@dataclass(frozen=True)
class Cost:
    """Of one image in training: seconds of the clock (see `clock`), and floating-point operations, a multiplication and
    an addition counted as two, forwards, backwards and in the optimizer."""

    seconds: float
    flops: float


def read_budget(text: str) -> Budget:
    """``20m``, ``90s`` or ``2h`` of processor time, ``3e15flops``, ``100000images``; raises `InputError` otherwise."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?(?:e\d+)?)\s*(s|m|h|flops|images)", text.strip().replace(",", ""))
    if match is None or not float(match[1]) > 0:
        raise InputError(f"--budget {text} is no budget: write 20m, 90s, 2h, 3e15flops or 100000images")
    factor, unit = UNITS[match[2]]
    return Budget(text.strip(), float(match[1]) * factor, unit)


def images_of(budget: Budget, cost: Cost, batch: int) -> int:
    """Images that a budget buys, in whole batches, one at least."""
    price = {"seconds": cost.seconds, "flops": cost.flops, "images": 1.0}[budget.unit]
    return max(1, round(budget.amount / price / batch)) * batch


def clock(device: str) -> Callable[[], float]:
    """Processor time over all threads, which others on the machine do not use up; on an accelerator, which does not
    count its time, the wall's."""
    return time.process_time if device == "cpu" else time.monotonic


def quiet(task: Task[Any, Any]) -> Task[Any, Any]:
    """A task without previews and held-out scores: what those cost is no training."""
    return replace(task, preview=None, validate=None)


def measure(task: Task[Any, Any], knobs: Settings, *, seconds: float) -> Cost:
    """The cost of an image, over at least ``seconds`` of steps and three of them, of a model that is then forgotten."""
    with tempfile.TemporaryDirectory(prefix="limner-") as place:
        run = Run(task, knobs, Path(place))
        task.model.train()
        for _ in range(WARM):
            run.step()
        now = clock(knobs.device)
        began, first, steps = now(), run.images, 0
        while steps < 3 or now() - began < seconds:
            run.step()
            steps += 1
        spent = (now() - began) / (run.images - first)
        with FlopCounterMode(display=False, custom_mapping=FUSED) as counter:
            run.step()
    return Cost(spent, counter.get_total_flops() / knobs.batch)


def _attention(query: Any, key: Any, value: Any, *rest: Any, out_shape: Any = None, **options: Any) -> int:
    return sdpa_flop_count(query, key, value)


def _attention_backward(grad: Any, query: Any, key: Any, value: Any, *rest: Any, **options: Any) -> int:
    return sdpa_backward_flop_count(grad, query, key, value)


FLASH = "_scaled_dot_product_flash_attention_for_cpu"  # torch counts the fused attention of accelerators only
FUSED = {
    getattr(torch.ops.aten, name): count
    for name, count in ((FLASH, _attention), (f"{FLASH}_backward", _attention_backward))
    if hasattr(torch.ops.aten, name)
}
