"""``limner compare``: recipes side by side under equal data, compute and parameters."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg

from limner.cli.command import Flag, parse, print_json, standard_output_kept
from limner.errors import InputError
from limner.train.interruption import UNFINISHED

EXAMPLES = """\
  limner compare raster maskgit mar --budget 20m --seeds 3
  limner compare raster maskgit --budget 20m --match-parameters -o runs/orders
  limner compare xar xar:noisy=false --budget 10m --with scenes=5000
  limner compare maskgit maskgit:width=256,depth=6 --budget 3e15flops --seeds 5 --json"""


@dataclass(frozen=True)
class Compare:
    """Train recipes under equal data, compute and parameters, and write what came of each: one table and plots of
    quality against forward passes, seconds and parameters.

    Every recipe sees the same captioned pictures in the same order. A few steps are measured first, and each recipe is
    trained on as many pictures as the budget buys, with a learning rate that falls to zero over just these. A finished
    generator draws the same held-out captions in 1, 2, 4 ... passes where its order allows it, and is scored at each.

    Ctrl-C saves; the same command goes on. More seeds or recipes may be added later, in the same folder. Recipes are of
    one family: generators are swept as above; tokenizers, encoders and models that see are scored once each.
    """

    recipes: Annotated[Positional[tuple[str, ...]], arg(metavar="RECIPE [RECIPE ...]", help_behavior_hint="")]
    """Recipes as `limner train` names them, or NAME:knob=value,knob=value: two settings of one recipe compare too."""
    budget: str = "20m"
    """Of each training: processor time over all threads (90s, 20m, 2h; on an accelerator wall time), operations
    (3e15flops), or pictures (100000images)."""
    seeds: int = 3
    """Trainings of each recipe; intervals are over them."""
    out: Annotated[Path, arg(aliases=["-o"])] = Path("runs/compare")
    """Folder of the comparison: trainings, table.md, comparison.json and pictures."""
    shared: Annotated[str, arg(name="with", metavar="KNOB=VALUE,...")] = ""
    """Knobs that every recipe is given, such as scenes=5000 or batch=32."""
    match_parameters: Flag = False
    """Choose width and depth so that all have as many parameters as the first, within 5 %."""
    count: int = 50
    """Held-out prompts of each set that are drawn and judged, for every number of passes."""
    device: str = "cpu"
    """Where to train and draw: cpu, cuda, mps."""
    threads: int = 0
    """CPU threads; 0 leaves torch's choice."""
    json: Flag = False
    """Print comparison.json on one line and nothing else."""


def run(arguments: list[str]) -> int:
    """Compares, writes the folder and prints the table; returns the exit code."""
    options = parse(Compare, "limner compare", EXAMPLES, arguments)
    _check(options)
    with standard_output_kept(options.json):
        result = compare(options)
    if result is None:
        print(f"stopped, and saved in {options.out}: the same command goes on from there", file=sys.stderr)
        return UNFINISHED
    if options.json:
        print_json(result)
        return 0
    from limner.compare.comparison import files

    print((options.out / "table.md").read_text(encoding="utf-8"))
    print("wrote " + ", ".join(str(path) for path in files(options.out)))
    return 0


def compare(options: Compare) -> dict[str, Any] | None:
    """The comparison, or None if it was interrupted."""
    from limner.compare.comparison import compare as run_comparison
    from limner.compare.plan import ComparisonRequest

    request = ComparisonRequest(
        recipes=options.recipes,
        budget=options.budget,
        seeds=options.seeds,
        out=options.out,
        shared=options.shared,
        count=options.count,
        match=options.match_parameters,
        device=options.device,
        threads=options.threads,
    )
    return run_comparison(request, lambda line: print(line, file=sys.stderr))


def _check(options: Compare) -> None:
    if not options.recipes:
        raise InputError("there is nothing to compare: name recipes, as in `limner compare raster maskgit`")
    if options.seeds < 1 or options.count < 2:
        raise InputError(
            f"--seeds is {options.seeds} and --count {options.count}, but must be at least 1 and at least 2"
        )
