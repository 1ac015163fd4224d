"""``limner demo``: what limner can do, on one page."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import arg

from limner.cli.command import Flag, parse, print_json, standard_output_kept

EXAMPLES = """\
  limner demo
  limner demo --seed 3 -o page.png"""

PROMPTS = (
    "a red heart left of a blue star",
    "a large green circle",
    "a small yellow square above a purple ring",
    "a pizza",
    "a smiling cat",
    "a rocket",
    "an orange triangle right of a pink circle",
    "a blue butterfly",
)


@dataclass(frozen=True)
class Demo:
    """Draw a page of prompts, take pictures apart into tokens and back, and write it all into one picture."""

    out: Annotated[Path, arg(aliases=["-o"])] = Path("demo.png")
    """Where to write the page."""
    model: Annotated[str, arg(aliases=["-m"])] = "mar-emoji-64"
    """The model that draws."""
    seed: int = 0
    """The same seed draws the same page."""
    json: Flag = False
    """Print one object with files and times and nothing else."""


def run(arguments: list[str]) -> None:
    """Makes the page and prints where it is and how long it took."""
    options = parse(Demo, "limner demo", EXAMPLES, arguments)
    with standard_output_kept(options.json):
        report = demo(options)
    if options.json:
        print_json(report)
    else:
        print(f"drew {report['drawn']} pictures in {report['seconds']} s: {report['file']}")


def demo(options: Demo) -> dict[str, Any]:
    """Draws the prompts and writes the page."""
    import limner
    from limner import pictures

    started = time.monotonic()
    images = limner.load(options.model).draw(list(PROMPTS), n=1, seed=options.seed)
    pictures.save(pictures.grid(images, 4, PROMPTS, title=f"limner demo: {options.model}"), options.out)
    return {
        "model": options.model,
        "file": str(options.out),
        "drawn": len(images),
        "seconds": round(time.monotonic() - started, 1),
    }
