"""Scenes per second on one core, rendering and caption: ``python benchmarks/scenes.py [--count 3000] [--json]``.

The target is 1,500 scenes/s at 64 pixels. Times are CPU seconds of this process, so other work on the machine does not
count; every line is measured after 100 scenes of warm-up.
"""

from __future__ import annotations

import argparse
import json
import time

from limner.data.scenes import Clips, Edits, Scenes

TARGET = 1500
SOURCES = {
    "1-2 things, white": Scenes(),
    "1-4 things, white": Scenes(objects=(1, 4)),
    "1-2 things, plain": Scenes(background="plain"),
    "1-2 things, gradient": Scenes(background="gradient"),
    "1-2 things, texture": Scenes(background="texture"),
    "1-4 things, off the grid, overlapping": Scenes(objects=(1, 4), grid=False, overlap=True),
    "edit pairs": Edits(Scenes()),
    "clips of 16 frames": Clips(),
}


def rate(source: Scenes | Edits | Clips, count: int) -> float:
    """Items of a source per CPU second."""
    for index in range(100):
        source[index]
    start = time.process_time()
    for index in range(count):
        source[index]
    return count / (time.process_time() - start)


def main() -> None:
    """Measure every source and print a line for each, or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=3000, help="scenes to draw per line")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    rates = {}
    for name, source in SOURCES.items():
        rates[name] = rate(source, options.count if isinstance(source, Scenes) else options.count // 10)
        if not options.json:
            print(f"{rates[name]:8.0f}/s  {name}")
    slowest = min(rates[name] for name, source in SOURCES.items() if isinstance(source, Scenes))
    if options.json:
        print(json.dumps({"per_second": rates, "target": TARGET, "reached": slowest >= TARGET}))
    else:
        verdict = "reached" if slowest >= TARGET else "not reached"
        print(f"The slowest scenes: {slowest:.0f}/s; the target of {TARGET}/s is {verdict}.")


if __name__ == "__main__":
    main()
