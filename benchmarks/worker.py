"""A process that holds one contender and draws when it is told to, so that each has its own memory."""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import sys
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

MIB = 2**20


@dataclass(frozen=True)
class Task:
    """Which contender.

    Args:
        system: which one.
        name: ``official`` or ``ours``, for people.
        precision: ``fp32`` or ``bf16``.
        device: where.
        official: folder of the authors' code, if it is theirs; else None.
        weights: folder of the state dicts, which the first official contender of a system fills.
        write: fill it.
        share: part of the drawing that is computed, where that can be chosen.
        solver: MAR's tokens in so many steps of DPM-Solver++ in place of 100 of ancestral sampling; 0: not.
    """

    system: str
    name: str
    precision: str
    device: str
    official: Path | None
    weights: Path | None
    write: bool
    share: float
    solver: int = 0


def serve(connection: Connection, task: Task) -> None:
    """Says how many parameters it has, then answers each batch size with what one drawing took; None ends it."""
    sys.stdout = sys.stderr  # the authors' code prints
    import torch

    device = torch.device(task.device)
    contender = build(task, device)
    facts = {"parameters": sum(p.numel() for m in contender.modules.values() for p in m.parameters())}
    if task.official is None and device.type == "cpu":
        import ours

        ours.lay_out(contender.modules)
    reset_peak(device)
    connection.send(facts)
    while (batch := connection.recv()) is not None:
        connection.send(_drawn(task, contender, batch, device))


def build(task: Task, device: Any) -> Any:
    """The contender that a task names; official weights are random, and written if the task says so."""
    import torch
    from contender import Uninitialised, randomise

    if task.official is None:
        import ours

        return ours.contender(
            task.system,
            weights=task.weights,
            precision=torch.bfloat16 if task.precision == "bf16" else torch.float32,
            device=device,
            share=task.share,
            solver=task.solver,
        )
    module = importlib.import_module(f"official.{task.system}")
    chosen = {"mar": {"iterations": round(64 * task.share)}, "xar": {"steps": round(40 * task.share)}}
    with Uninitialised():
        contender = module.build(task.official, device, **chosen.get(task.system, {}))
    for part in contender.modules.values():
        randomise(part)
    if task.precision == "bf16" and contender.lowered:
        contender.modules["generator"].bfloat16()
    if task.write:
        assert task.weights is not None
        for name, part in contender.modules.items():
            torch.save(part.state_dict(), task.weights / f"{name}.pth")
    return contender


def count(connection: Connection, task: Task) -> None:
    """The work of one picture of ours, with weights as they are before packing, and what the machine can do in this
    precision; in a process of its own, which takes the memory that this needs away with it."""
    import limits
    import torch

    device = torch.device(task.device)
    contender = build(task, device)
    given = torch.zeros(1, dtype=torch.long, device=device)
    drawn: list[Any] = []
    drawing = limits.count(contender.modules, lambda: drawn.append(contender.draw(given)))
    decoding = limits.count(contender.modules, lambda: contender.decode(drawn[0]))
    flops, read = (part / contender.share + rest for part, rest in zip(drawing, decoding, strict=True))
    measured = limits.measure(device, torch.bfloat16 if task.precision == "bf16" else torch.float32)
    connection.send({"flops": flops, "bytes": read, "peak_flops": measured.flops, "peak_bytes": measured.bytes})


def _drawn(task: Task, contender: Any, batch: int, device: Any) -> dict[str, float]:
    import torch

    given = torch.arange(batch, device=device)
    autocast = task.official is not None and task.precision == "bf16"
    clocks, cpus = [time.perf_counter()], [time.process_time()]

    def tick() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        clocks.append(time.perf_counter())
        cpus.append(time.process_time())

    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=autocast):
        tokens = contender.draw(given)
        tick()
        pictures = contender.decode(tokens)
        tick()
    if tuple(pictures.shape) != (batch, 3, 256, 256) or not bool(pictures.isfinite().all()):
        raise ValueError(f"{task.name} {task.system} drew {tuple(pictures.shape)}, or numbers that are not finite")
    return {
        "wall": (clocks[1] - clocks[0]) / contender.share + clocks[2] - clocks[1],
        "cpu": (cpus[1] - cpus[0]) / contender.share + cpus[2] - cpus[1],
        "peak_mib": peak(device) / MIB,
    }


def reset_peak(device: Any) -> None:
    """Forget the memory that building took, and give back what was freed of it (with glibc)."""
    if device.type == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats(device)
    else:
        with contextlib.suppress(AttributeError, OSError):
            ctypes.CDLL("libc.so.6").malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


def peak(device: Any) -> int:
    """Largest resident memory since then, in bytes; on a GPU what tensors took there."""
    if device.type == "cuda":
        import torch

        return torch.cuda.max_memory_allocated(device)
    status = Path(f"/proc/{os.getpid()}/status").read_text(encoding="utf-8")
    return int(status.split("VmHWM:")[1].split()[0]) * 1024
