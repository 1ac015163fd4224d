"""What fewer steps of the diffusion head cost in quality and save in time.

    python benchmarks/solvers.py                       # mar-emoji-64, 200 prompts of each kind
    python benchmarks/solvers.py --model runs/mar --count 50

Against 100 steps of the reverse process itself, as MAR's authors draw: CPU seconds of drawing (tokens and pixels), the
Frechet distance between drawings and real scenes of the same prompts, and prompts read right. All draw the same prompts
with the same seeds, but for the second row: what another seed changes tells how far numbers can be told apart.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import NamedTuple

import limner
from limner.evaluate.generator import evaluate_generator
from limner.models.text_to_image import TextToImage
from limner.processes.solvers import Solver, ddim, dpm_solver_2m, heun
from limner.types import Image, derive_seed


class Pace(NamedTuple):
    """A way to follow the reverse process."""

    name: str
    solver: Solver | None
    steps: int
    seed: int = 0


PACES = (
    Pace("ancestral", None, 100),
    Pace("ancestral, another seed", None, 100, seed=1),
    Pace("ancestral", None, 50),
    Pace("ancestral", None, 25),
    *(Pace("DDIM", ddim, steps) for steps in (25, 10)),
    *(Pace("Heun", heun, steps) for steps in (10, 5)),
    *(Pace("DPM-Solver++ 2M", dpm_solver_2m, steps) for steps in (25, 10, 5)),
)
SHOWN = ("frechet/scenes", "prompt/colour", "prompt/shape", "prompt/pair")


def measured(model: TextToImage, pace: Pace, count: int) -> dict[str, float]:
    """Its scores and its CPU seconds."""
    spent = 0.0

    def draw(prompts: Sequence[str], seed: int) -> Image:
        nonlocal spent
        began = time.process_time()
        seeds = [derive_seed(seed, pace.seed, i) for i in range(len(prompts))]
        drawn = model.images(list(prompts), seeds, head_steps=pace.steps, solver=pace.solver)
        spent += time.process_time() - began
        return drawn

    scores = evaluate_generator(
        draw,
        limner.load("recogniser"),
        limner.load("features"),
        model="",
        weights="",
        size=model.tokenizer.size,
        count=count,
    )["scores"]
    return {**scores, "seconds": spent}


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mar-emoji-64", help="a generator with a diffusion head")
    parser.add_argument("--count", type=int, default=200, help="prompts of each kind")
    options = parser.parse_args()
    model = limner.load(options.model)
    print("| sampler | steps | times as fast | distance | of the first | colour | shape | two things |")
    print("|---|---|---|---|---|---|---|---|")
    first: dict[str, float] = {}
    for pace in PACES:
        found = measured(model, pace, options.count)
        first = first or found
        distance, *right = (found[name] for name in SHOWN)
        cells = [f"{first['seconds'] / found['seconds']:.2f}", f"{distance:.3f}", f"{distance / first[SHOWN[0]]:.1%}"]
        cells += [f"{share:.1%}" for share in right]
        print(f"| {pace.name} | {pace.steps} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
