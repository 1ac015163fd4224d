"""What the machine can do at most, and how much of it a drawing needs.

    least seconds = max(FLOPs counted / FLOP/s of a large matrix product,  bytes of weights read / bytes per second)

Both rates are measured in the run that they are compared with. A drawing reads a layer's weights once per call.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

SIDE = 2048  # of the product
READ = 2**28  # bytes


class Limits(NamedTuple):
    """FLOP/s of matrix products and bytes per second of reading, in one precision."""

    flops: float
    bytes: float


class Work(NamedTuple):
    """What one drawing needs."""

    flops: float
    bytes: float


def measure(device: torch.device, precision: torch.dtype, seconds: Callable[[], float] = time.perf_counter) -> Limits:
    """The best of several products of 2048 x 2048 numbers, and of several of a 256 MB matrix with a vector."""
    x = torch.randn(SIDE, SIDE, device=device).to(precision)
    matrix = torch.randn(READ // 4096 // x.element_size(), 4096, device=device).to(precision)
    product = _best(lambda: x @ x, device, seconds)
    reading = _best(lambda: matrix @ matrix[0], device, seconds)
    return Limits(2.0 * SIDE**3 / product, READ / reading)


def _best(work: Callable[[], Tensor], device: torch.device, seconds: Callable[[], float], repeat: int = 7) -> float:
    times = []
    for _ in range(repeat):
        began = seconds()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(seconds() - began)
    return min(times)


def count(modules: dict[str, nn.Module], work: Callable[[], object]) -> Work:
    """FLOPs of one run of ``work``, and the bytes of the linear layers and convolutions that it calls."""
    read = 0

    def note(module: nn.Module, *_: object) -> None:
        nonlocal read
        read += sum(parameter.numel() * parameter.element_size() for parameter in module.parameters(recurse=False))

    hooks = [
        part.register_forward_hook(note)
        for module in modules.values()
        for part in module.modules()
        if isinstance(part, nn.Linear | nn.Conv2d)
    ]
    with FlopCounterMode(display=False) as counter:
        work()
    for hook in hooks:
        hook.remove()
    return Work(float(counter.get_total_flops()), float(read))
