"""Pictures of a comparison: quality against passes, seconds and parameters, and what each recipe draws.

matplotlib comes with the extra ``plots`` and is imported when something is plotted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from limner import pictures
from limner.errors import InputError

COLOURS = ("#3366cc", "#dc6b1c", "#2f9e63", "#b0397f", "#7a5bc7", "#8a6d3b", "#1f9aa8", "#c43d3d")
MARKERS = "osD^vPX*"
INK, FAINT = "#2d2d32", "#e4e4e8"
CELL = 112  # pixels of a drawing

X: dict[str, tuple[str, Callable[[dict[str, Any], dict[str, Any]], float | None]]] = {
    "quality-passes": ("forward passes for a picture", lambda recipe, point: point["forward_passes"]),
    "quality-seconds": (
        "processor seconds for a picture, in a batch of 16",
        lambda recipe, point: point["seconds"] and point["seconds"]["mean"],
    ),
    "quality-parameters": (
        "parameters, millions",
        lambda recipe, point: recipe["parameters"] / 1e6 if point["own"] else None,
    ),
}


def require_plots() -> None:
    """Raises `InputError` if matplotlib is not installed: better before hours of training than after."""
    if find_spec("matplotlib") is None:
        raise InputError("plots are made by matplotlib, which is not installed: pip install 'limner[plots]'")


def draw_charts(result: dict[str, Any], folder: Path) -> list[Path]:
    """The plots that the result allows; returns their files."""
    found = []
    for name, (title, x) in X.items():
        points = [x(recipe, point) for recipe in result["recipes"] for point in recipe["points"]]
        if result["measures"] and any(value is not None for value in points):
            found.append(_chart(result, title, x, folder / f"{name}.png"))
    return found


def _chart(result: dict[str, Any], title: str, x: Callable[[Any, Any], float | None], path: Path) -> Path:
    """One panel per measure, one line per recipe; whiskers are intervals over seeds, rings are recipes' own paces."""
    from matplotlib.figure import Figure

    measures = result["measures"]
    figure = Figure(figsize=(5.2 * len(measures) + 0.6, 4.6), dpi=150, facecolor="white", layout="constrained")
    panels = figure.subplots(1, len(measures), squeeze=False)[0]
    for panel, measure in zip(panels, measures, strict=True):
        for number, recipe in enumerate(result["recipes"]):
            places = [(x(recipe, point), point) for point in recipe["points"]]
            pairs = [(float(at), point) for at, point in places if at is not None]
            _line(panel, pairs, measure["name"], number, recipe["label"])
        _dress(panel, title, measure)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 5), frameon=False, fontsize=9)
    figure.suptitle(_heading(result), fontsize=9, color=INK)
    figure.savefig(path)
    return path


def _heading(result: dict[str, Any]) -> str:
    count = len(result["seeds"])
    seeds = f"{count} seeds, whiskers 95 % over them" if count > 1 else "1 seed"
    return f"{result['budget']} for each training, {seeds}; a ring is a recipe at its own number of passes"


def _line(panel: Any, pairs: Sequence[tuple[float, dict[str, Any]]], measure: str, number: int, label: str) -> None:
    colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
    places = [at for at, _ in pairs]
    values = [point["quality"][measure] for _, point in pairs]
    means = [value["mean"] for value in values]
    ends = [[value["mean"] - value["interval"][0] for value in values]]
    ends.append([value["interval"][1] - value["mean"] for value in values])
    panel.errorbar(
        places, means, yerr=ends, color=colour, marker=marker, markersize=5, linewidth=1.6, elinewidth=1, capsize=2.5,
        label=label,
    )  # fmt: skip
    if own := [(at, mean) for (at, point), mean in zip(pairs, means, strict=True) if point["own"]]:
        panel.plot(*zip(*own, strict=True), marker="o", markersize=11, color=colour, fillstyle="none", linestyle="none")


def _dress(panel: Any, title: str, measure: dict[str, Any]) -> None:
    better = {"higher": "higher is better", "lower": "lower is better"}[measure["better"]]
    panel.set_title(f"{measure['name']}  ({better})", fontsize=10, color=INK, loc="left")
    panel.set_xlabel(title, fontsize=9, color=INK)
    low, high = panel.get_xlim()
    if low > 0 and high < 2 * low:  # a scale of its own would make much of little
        panel.set_xlim(low / 1.4, high * 1.4)
    else:
        panel.set_xscale("log")
        _ticks(panel.xaxis, base=2 if "passes" in title else 10)
    if measure["better"] == "lower":
        panel.set_yscale("log")
        _ticks(panel.yaxis, base=10)
    panel.tick_params(labelsize=8, colors=INK)
    panel.grid(color=FAINT, linewidth=0.8)
    panel.set_axisbelow(True)
    for side in ("top", "right"):
        panel.spines[side].set_visible(False)


def _ticks(axis: Any, base: int) -> None:
    """Labels at powers of two, or at 1, 2 and 5 of every power of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axis.set_major_locator(LogLocator(base=base, subs=(1.0, 2.0, 5.0) if base == 10 else (1.0,), numticks=20))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))


def draw_grid(drawings: dict[str, Sequence[Image.Image]], prompts: Sequence[str], path: Path) -> Path:
    """The same prompts, one row per recipe."""
    rows = [[_label(label), *drawn] for label, drawn in drawings.items()]
    pictures.save(pictures.strip(rows, ["", *prompts], cell=CELL), path)
    return path


def _label(text: str) -> Image.Image:
    """A recipe's name as a picture, broken at its knobs."""
    name, _, knobs = text.partition(":")
    lines = [name, *filter(None, knobs.split(","))]
    image = Image.new("RGB", (CELL, CELL), "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(13)
    for number, line in enumerate(lines[:5]):
        while font.getlength(line) > CELL - 8:
            line = line[:-2] + "…"
        draw.text((4, CELL / 2 - 8 * len(lines[:5]) + 17 * number), line, fill=INK, font=font)
    return image
