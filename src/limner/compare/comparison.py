"""The whole comparison: plan, train, sweep, write; whatever was finished before is read and not done again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from limner.compare.charts import draw_charts, draw_grid, require_plots
from limner.compare.plan import ComparisonRequest, Plan, make_plan
from limner.compare.summary import duration, summary, table
from limner.compare.sweep import Point, points, preview
from limner.compare.trials import folder_of, seconds_spent, train_to_plan
from limner.lessons.captions import PREVIEW
from limner.models.text_to_image import TextToImage, to_pictures
from limner.store.folder import load

Say = Callable[[str], None]
PREVIEWED = slice(0, 14, 2)  # of the preview prompts


def compare(request: ComparisonRequest, say: Say) -> dict[str, Any] | None:
    """The result, as it is written to comparison.json; None if a training was interrupted, which the next call goes on
    with. Errors as those of `make_plan`."""
    require_plots()
    plan = make_plan(request, say)
    for line in overview(plan):
        say(line)
    found: dict[str, list[list[Point]]] = {one.entrant.label: [] for one in plan.contestants}
    seconds: dict[str, list[float]] = {one.entrant.label: [] for one in plan.contestants}
    for seed in range(request.seeds):
        for one in plan.contestants:
            model = train_to_plan(plan, one, seed, say)
            if model is None:
                return None
            label = one.entrant.label
            seconds[label].append(seconds_spent(model))
            found[label].append(points(one.entrant.recipe, load(model), model, request.count, seed, say))
        result = summary(plan, found, seconds)
        write(plan, result)
        say(f"seed {seed} of all recipes is finished: {request.out / 'table.md'}")
    return result


def overview(plan: Plan) -> list[str]:
    """What is going to happen, in lines."""
    runs = len(plan.contestants) * plan.request.seeds
    lines = [f"{runs} trainings of {plan.request.budget} each, in {plan.request.out}"]
    for one in plan.contestants:
        took = duration(one.images * one.cost.seconds)
        lines.append(
            f"  {one.entrant.label}: {one.parameters / 1e6:.2f} M parameters, {1 / one.cost.seconds:.0f} images/s, "
            f"{one.cost.flops / 1e6:.0f} MFLOP an image: {one.images:,} images in {took}"
        )
    return lines


def write(plan: Plan, result: dict[str, Any]) -> None:
    """comparison.json, table.md and pictures."""
    out = plan.request.out
    (out / "comparison.json").write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (out / "table.md").write_text(table(result), encoding="utf-8")
    draw_charts(result, out)
    drawings: dict[str, Any] = {}
    for one in plan.contestants:
        model = load(folder_of(plan, one, 0) / "model")
        if isinstance(model, TextToImage):
            drawn, _ = preview(model)
            drawings[one.entrant.label] = to_pictures(drawn)[PREVIEWED]
    if drawings:
        draw_grid(drawings, PREVIEW[PREVIEWED], out / "grid.png")


def files(out: Path) -> list[Path]:
    """What a finished comparison leaves to look at."""
    names = ("table.md", "comparison.json", "grid.png", "quality-*.png")
    return [path for name in names for path in sorted(out.glob(name))]
