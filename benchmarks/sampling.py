"""Images per second, seconds per image and memory at published sizes, beside the authors' own code.

    python benchmarks/sampling.py                                   # ours alone
    python benchmarks/sampling.py --official DIR                    # of clones: VAR LlamaGen 1d-tokenizer mar xAR
    python benchmarks/sampling.py --official DIR --systems var rar --batches 1 --json

Weights are random and the same for all; settings and samplers are the official ones. Each contender is a process of its
own, and they draw in turn (A B C A B C ...), so what is compared was measured side by side; numbers are medians, after
one drawing that is not counted; with ``--repeat 0`` there is no other, which is enough to compare memory. Of MAR's 64
iterations and of xAR's 40 steps ``--iterations`` (by default an eighth) are computed and stand for all.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

from worker import Task, count, serve

SYSTEMS = {
    "var": "VAR-d16",
    "titok": "TiTok-L32, decoding",
    "llamagen": "LlamaGen-B",
    "rar": "RAR-B",
    "mar": "MAR-B",
    "xar": "xAR-B",
}
# Least ratios wanted: ours in fp32 and in bf16 against the official code in fp32 (two cores with bf16 matrix units).
WANTED = {"var": (1.1, 3.5), "titok": (1.2, 3.0), "llamagen": (1.3, 2.0), "rar": (1.5, 3.0), "mar": (1.8, 6.0)}
ITERATIVE = ("mar", "xar")

Row = dict[str, Any]


class Running(NamedTuple):
    """A contender's process and what it said of itself."""

    task: Task
    process: BaseProcess
    connection: Connection
    facts: dict[str, Any]

    def draw(self, batch: int) -> dict[str, float]:
        """One drawing."""
        self.connection.send(batch)
        return self.connection.recv()

    def end(self) -> None:
        """Let it go."""
        self.connection.send(None)
        self.process.join()


def started(task: Task, limited: bool) -> Running:
    """A contender, built; ``limited``: with the limits of ours."""
    facts: dict[str, Any] = {}
    if limited and task.official is None and not task.solver:
        process, connection = _beside(count, task)
        facts = connection.recv()
        process.join()
    process, connection = _beside(serve, task)
    return Running(task, process, connection, facts | connection.recv())


def _beside(work: Callable[[Connection, Task], None], task: Task) -> tuple[BaseProcess, Connection]:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=work, args=(there, task))
    process.start()
    there.close()
    return process, here


def tasks(system: str, options: argparse.Namespace, weights: Path) -> list[Task]:
    """The contenders of a system, the first of which writes the weights."""
    share = options.share if system in ITERATIVE else 1.0
    known = options.official is not None

    def task(name: str, precision: str, **others: Any) -> Task:
        return Task(
            system=system,
            name=name,
            precision=precision,
            device=options.device,
            official=options.official if name == "official" else None,
            weights=weights if known else None,
            write=name == "official" and precision == "fp32",
            share=share,
            **others,
        )

    theirs = [task("official", "fp32"), task("official", "bf16")] if known else []
    solvers = [task(f"ours, {steps} solver steps", "fp32", solver=steps) for steps in options.solver if system == "mar"]
    return [*theirs, task("ours", "fp32"), task("ours", "bf16"), *solvers]


def measure(system: str, options: argparse.Namespace) -> list[Row]:
    """All contenders of a system at all batch sizes, drawing in turn."""
    with tempfile.TemporaryDirectory() as folder:
        running = [started(task, options.repeat > 0) for task in tasks(system, options, Path(folder))]
        seen: dict[tuple[int, int], list[dict[str, float]]] = {}
        for batch in options.batches:
            began = time.perf_counter()
            for turn in range(1 + options.repeat):
                for place, contender in enumerate(running):
                    drawn = contender.draw(batch)
                    if turn or not options.repeat:
                        seen.setdefault((place, batch), []).append(drawn)
            print(f"{SYSTEMS[system]}, batch {batch}: {time.perf_counter() - began:.0f} s", file=sys.stderr)
        for contender in running:
            contender.end()
    return [_row(running[place], batch, drawn, options.clock) for (place, batch), drawn in seen.items()]


def _row(running: Running, batch: int, drawn: list[dict[str, float]], clock: str) -> Row:
    seconds = [one[clock] for one in drawn]
    median, facts = statistics.median(seconds), running.facts
    row: Row = {
        "system": running.task.system,
        "contender": running.task.name,
        "precision": running.task.precision,
        "batch": batch,
        "seconds": median,
        "spread": max(seconds) - min(seconds),
        "seconds_per_image": median / batch,
        "images_per_second": batch / median,
        "peak_mib": max(one["peak_mib"] for one in drawn),
    }
    if "flops" in facts:
        # Weights are read once per batch, the products are of every picture.
        least = max(batch * facts["flops"] / facts["peak_flops"], facts["bytes"] / facts["peak_bytes"])
        row |= {"share_of_limit": least / median, **facts}
    return row


def table(rows: list[Row]) -> str:
    """Markdown, with ratios to the official code where that was measured."""
    lines = [
        "| system | batch | contender | s/image | spread | x official fp32 | x official bf16 | MiB | share of limit |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        against = {
            other["precision"]: other["seconds"] / row["seconds"]
            for other in rows
            if other["contender"] == "official" and (other["system"], other["batch"]) == (row["system"], row["batch"])
        }
        ratios = [f"{against[precision]:.2f}" if precision in against else "" for precision in ("fp32", "bf16")]
        share = f"{row['share_of_limit']:.0%}" if "share_of_limit" in row else ""
        lines.append(
            f"| {SYSTEMS[row['system']]} | {row['batch']} | {row['contender']} {row['precision']} "
            f"| {row['seconds_per_image']:.2f} | {row['spread'] / row['seconds']:.0%} "
            f"| {' | '.join(ratios)} | {row['peak_mib']:.0f} | {share} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--official", type=Path, help="folder of the authors' repositories")
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=[name for name in SYSTEMS if name != "xar"])
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 4])
    parser.add_argument(
        "--repeat", type=int, default=2, help="drawings counted after the first; 0: the first, for memory"
    )
    parser.add_argument("--iterations", type=int, default=8, help="of MAR's 64 (and that share of xAR's 40)")
    parser.add_argument("--solver", nargs="*", type=int, default=[5], help="steps of DPM-Solver++ in MAR's 100")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="cpu: on a machine in use")
    parser.add_argument("--device", default=None, help="cpu or cuda; the GPU if there is one")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON and nothing else")
    options = parser.parse_args()
    import torch

    options.device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    options.share = options.iterations / 64
    rows = [row for system in options.systems for row in measure(system, options)]
    if options.json:
        print(json.dumps({"torch": torch.__version__, "threads": torch.get_num_threads(), "rows": rows}))
        return
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {options.device}, {platform.processor()}\n")
    print(table(rows))


if __name__ == "__main__":
    main()
