"""Pictures per second and memory of training: whole optimizer steps, forward, backward and update.

    python benchmarks/training.py                                       # generators at their published sizes
    python benchmarks/training.py --names rar xar --batch 8 --json
    python benchmarks/training.py --names generators/mar tokenizers/vae # recipes, with their own data and batch

A published size learns from tokens by luck, in fp32 and under bf16 autocast, by AdamW; a recipe takes the steps of
`limner train`. Each is a process of its own; numbers are medians over the steps after the first.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

PUBLISHED = ("var", "llamagen", "rar", "mar", "xar")


def published(name: str, batch: int, precision: str, device: Any) -> Callable[[], object]:
    """One step of a generator at its published size."""
    import ours
    import torch

    from limner.types import Rng

    made = {part: build() for part, build in ours.BUILD[name].items()}
    generator = made["generator"].to(device).train()
    if name == "var":
        generator.embed.attach(made["tokenizer"].quantizer.to(device))
    optimizer = torch.optim.AdamW(generator.parameters(), lr=1e-4)
    blank = generator.head.blank(batch, generator.count)
    entries = made["tokenizer"].quantizer
    tokens = torch.randn_like(blank) if blank.is_floating_point() else torch.randint(entries.entries, blank.shape)
    tokens, given, rng = tokens.to(device), torch.arange(batch, device=device), Rng(0, device)

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            loss = generator.loss(tokens, given, rng)
        loss.backward()
        optimizer.step()

    return step


def recipe(name: str, precision: str, device: Any, folder: Path) -> tuple[Callable[[], object], int]:
    """One step of ``limner train``, and its pictures."""
    from limner.store.folder import find_recipe
    from limner.train.loop import Run

    found = find_recipe(name)
    knobs = found.knobs(precision=precision, device=device.type)  # type: ignore[arg-type]
    run = Run(found.task(knobs), knobs, folder)
    run.task.model.train()
    return run.step, knobs.batch


def measure(connection: Connection, name: str, precision: str, options: argparse.Namespace) -> None:
    """Sends what the steps of one contender took."""
    import torch
    from worker import peak

    device, batch = torch.device(options.device), options.batch
    with tempfile.TemporaryDirectory() as folder:
        if name in PUBLISHED:
            step: Callable[[], object] = published(name, batch, precision, device)
        else:
            step, batch = recipe(name, precision, device, Path(folder))
        times = []
        for _ in range(1 + options.steps):
            began = time.perf_counter() if options.clock == "wall" else time.process_time()
            step()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            times.append((time.perf_counter() if options.clock == "wall" else time.process_time()) - began)
    median = statistics.median(times[1:])
    connection.send(
        {
            "name": name,
            "precision": precision,
            "batch": batch,
            "seconds": median,
            "images_per_second": batch / median,
            "peak_mib": peak(device) / 2**20,
        }
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--names", nargs="+", default=PUBLISHED, help="published sizes, or paths of recipes")
    parser.add_argument("--batch", type=int, default=4, help="of published sizes")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="cpu: on a machine in use")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    context, rows = multiprocessing.get_context("spawn"), []
    for name in options.names:
        for precision in ("fp32", "bf16"):
            here, there = context.Pipe(duplex=False)
            process = context.Process(target=measure, args=(there, name, precision, options))
            process.start()
            there.close()
            try:
                rows.append(here.recv())
            except EOFError:
                process.join()
                print(
                    f"{name} {precision} ended with code {process.exitcode}: see above, or free memory", file=sys.stderr
                )
            process.join()
    if options.json:
        print(json.dumps(rows))
        return
    print("| what | precision | batch | images/s | s/step | MiB |\n|---|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row['name']} | {row['precision']} | {row['batch']} | {row['images_per_second']:.2f} "
            f"| {row['seconds']:.2f} | {row['peak_mib']:.0f} |"
        )


if __name__ == "__main__":
    main()
