"""Write docs/fewer-tokens.md: what limner-64 answers with fewer visual tokens, by every method under one protocol.

python scripts/write_fewer_tokens.py             measures (minutes) and writes the page, its plot and its numbers
python scripts/write_fewer_tokens.py --page      writes page and plot anew from the numbers of before
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from limner.experiments.dropping import AtRandom, MeanCells, cost, dropping_at_random
from limner.experiments.seeing import Change, about_scenes, right, shipped, unchanged
from limner.models.vision_language import VisionLanguageModel
from limner.recipes.techniques import aim, evit, pyramiddrop, vtc_cls

PAGE = Path(__file__).resolve().parents[1] / "docs" / "fewer-tokens.md"
NUMBERS, PLOT = PAGE.with_suffix(".json"), PAGE.with_suffix(".png")
SCENES, SEED, PATCHES = 40, 0, 64
COUNTS = (32, 16, 8)

HEAD = """# Fewer visual tokens

What a model that sees loses when its language model reads fewer tokens of a picture, by method. Written by
`python scripts/write_fewer_tokens.py`; do not edit by hand.

**Protocol.** The shipped limner-64 (64 patches, four layers), untrained for any of this; {questions} questions about
{scenes} held-out scenes, the same for every row; greedy answers. *Tokens* are the picture's, per layer of the language
model, in the mean over its layers. *Operations* are those of matrix products and of attention while a picture and its
question are read, what chooses included; *cache* is what is kept for the answer, keys and values in fp32. The controls
are patches drawn at random, means over square cells, and tokens dropped at random in the same layers; blind, the model
answers {blind:.1%}.

![right answers against visual tokens](fewer-tokens.png)

| method | setting | tokens | right | operations, millions | cache, KiB |
|---|---|---:|---:|---:|---:|
"""

TAIL = """
The interval of one row is about {interval:.0%} wide (95 %, binomial), so neighbours do not differ; what a technique
claims is held against its control over several seeds in `proofs/acceleration`. No row was trained with its method.
"""


@dataclass(frozen=True)
class Row:
    """One method at one setting."""

    method: str
    setting: str
    change: Change


def reducing(make: Callable[[int], Any]) -> Callable[[int], Change]:
    """Changes by the reduction to a number of patches."""
    return lambda count: lambda model, seed: model.changed(reduce=make(count))


def applying(technique: Any, knobs: Any) -> Change:
    """The change of a technique."""

    def changed(model: VisionLanguageModel, seed: int) -> VisionLanguageModel:
        made: VisionLanguageModel = technique.apply(model, knobs)
        return made

    return changed


def rows() -> list[Row]:
    """Every method at every setting."""
    made = [Row("all tokens", "", unchanged)]
    made += [Row("random patches", f"{count}", reducing(lambda n: AtRandom(n, SEED))(count)) for count in COUNTS]
    made += [Row("means of cells", f"{side**2}", reducing(lambda n: MeanCells(n))(side)) for side in (4, 2)]
    made += [Row("VTC-CLS", f"keep={count}", applying(vtc_cls, vtc_cls.Knobs(count))) for count in COUNTS]
    for count in COUNTS:
        share = count / PATCHES
        made.append(Row("AIM, merging", f"merged={share:g}", applying(aim, aim.Knobs(share, slope=0.0))))
    for keep in (0.8, 0.6, 0.5):
        made.append(Row("EViT", f"keep={keep:g}", applying(evit, evit.Knobs(keep))))
    for middle, slope in ((2, 0.875), (1, 0.5), (1, 1.0)):
        dropping = applying(aim, aim.Knobs(1.0, middle, slope))
        setting = f"merged=1,middle={middle},slope={slope:g}"
        made.append(Row("AIM, dropping", setting, dropping))
        made.append(Row("random, dropped as by AIM", setting, dropping_at_random(dropping)))
    for ratio in (0.7, 0.5, 0.3):
        dropping = applying(pyramiddrop, pyramiddrop.Knobs(ratios=(ratio, ratio**2, ratio**3)))
        made.append(Row("PyramidDrop", f"ratios=[{ratio:g},{ratio**2:g},{ratio**3:g}]", dropping))
    return made


@torch.no_grad()
def measured() -> dict[str, Any]:
    """Right answers and costs of every row."""
    model = shipped()
    questions = about_scenes("fewer-tokens", model.size, SEED, SCENES)
    found: dict[str, Any] = {"scenes": SCENES, "questions": len(questions[1]), "rows": []}
    found["blind"] = right(model, questions, blind=True)
    found["width"] = model.language.width
    for row in rows():
        numbers = {"right": right(row.change(model, SEED), questions), **cost(row.change, SEED)}
        found["rows"].append({"method": row.method, "setting": row.setting, **numbers})
        print(row.method, row.setting, numbers, file=sys.stderr, flush=True)
    return found


def written(found: dict[str, Any]) -> str:
    """The page."""
    lines = [HEAD.format(**found)]
    for row in found["rows"]:
        kib = row["positions"] * 2 * found["width"] * 4 / 1024
        cells = f"{row['seen']:.1f} | {row['right']:.1%} | {row['operations'] / 1e6:.0f} | {kib:.0f}"
        lines.append(f"| {row['method']} | {row['setting']} | {cells} |\n")
    return "".join(lines) + TAIL.format(interval=2 * 1.96 * (0.2 * 0.8 / found["questions"]) ** 0.5)


def plotted(found: dict[str, Any]) -> None:
    """One curve per method: right answers against tokens per layer."""
    from matplotlib.figure import Figure

    from limner.compare.charts import COLOURS, MARKERS

    figure = Figure((7.6, 4.6), dpi=120)
    axes = figure.add_subplot()
    methods = list(dict.fromkeys(row["method"] for row in found["rows"]))
    whole = next(row for row in found["rows"] if row["method"] == methods[0])
    for number, method in enumerate(methods[1:]):
        points = sorted(
            (row["seen"], row["right"]) for row in [whole, *found["rows"]] if row is whole or row["method"] == method
        )
        control = method.startswith(("random", "means"))
        colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
        axes.plot(
            *zip(*points, strict=True),
            marker=marker,
            color=colour,
            label=method,
            linestyle="--" if control else "-",
            alpha=0.9,
        )
    axes.axhline(found["blind"], color="#888888", linewidth=1, linestyle=":", label="blind")
    axes.set_xlabel("visual tokens that a layer reads, in the mean over layers")
    axes.set_ylabel("share of right answers")
    axes.set_ylim(0, 1.02)
    axes.grid(color="#e4e4e8")
    axes.legend(fontsize=8, loc="lower right")
    figure.tight_layout()
    figure.savefig(PLOT)


def main() -> None:
    """Measures unless told not to, and writes."""
    if "--page" not in sys.argv[1:]:
        NUMBERS.write_text(json.dumps(measured(), indent=1) + "\n", encoding="utf-8")
    found = json.loads(NUMBERS.read_text(encoding="utf-8"))
    plotted(found)
    PAGE.write_text(written(found), encoding="utf-8")


if __name__ == "__main__":
    main()
