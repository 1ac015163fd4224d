"""From points of single trainings to numbers over seeds, and to one table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from limner.compare.parameters import NEAR, off
from limner.compare.plan import Contestant, Plan
from limner.compare.sweep import Point
from limner.evaluate.statistics import over_seeds


@dataclass(frozen=True)
class QualityMeasure:
    """A number that stands for quality.

    Args:
        name: in tables and on axes.
        scores: of which it is the mean.
        better: "higher" or "lower".
    """

    name: str
    scores: tuple[str, ...]
    better: str

    def of(self, report: dict[str, Any]) -> float:
        """Its value in a report of scores."""
        return sum(report["scores"][name] for name in self.scores) / len(self.scores)


PROMPTS = ("prompt/seen", "prompt/heldout", "prompt/pair", "prompt/heldout_pair", "prompt/emoji_top1")
MEASURES: dict[str, tuple[QualityMeasure, ...]] = {  # by family; others are tabled by all their scores
    "generators": (
        QualityMeasure("prompt accuracy", PROMPTS, "higher"),
        QualityMeasure("Fréchet distance, scenes", ("frechet/scenes",), "lower"),
    ),
    "tokenizers": (
        QualityMeasure("PSNR of unseen emoji, dB", ("psnr/emoji",), "higher"),
        QualityMeasure("Fréchet distance, emoji", ("frechet/emoji",), "lower"),
    ),
    "understanding": (
        QualityMeasure("answers right", ("qa/overall",), "higher"),
        QualityMeasure("answers right, unseen compositions", ("compositions/overall",), "higher"),
    ),
}


def summary(plan: Plan, found: dict[str, list[list[Point]]], seconds: dict[str, list[float]]) -> dict[str, Any]:
    """comparison.json: per contestant its plan, what it cost, and its points over seeds (``found[label][seed]``)."""
    request = plan.request
    measures = MEASURES.get(plan.contestants[0].entrant.family, ())
    return {
        "budget": request.budget,
        "seeds": list(range(len(next(iter(found.values()))))),
        "asked": request.fixed(),
        "commit": plan.made["commit"],
        "machine": plan.made["machine"],
        "measures": [asdict(measure) for measure in measures],
        "protocol": {**_first(plan, found).report["protocol"], "seed": "that of the training", "hash": None},
        "notes": notes(plan, found),
        "recipes": [
            _recipe(one, plan, found[one.entrant.label], seconds[one.entrant.label], measures)
            for one in plan.contestants
        ],
    }


def _recipe(
    one: Contestant, plan: Plan, by_seed: list[list[Point]], seconds: list[float], measures: Sequence[QualityMeasure]
) -> dict[str, Any]:
    planned = plan.made["recipes"][one.entrant.label]
    return {
        "label": one.entrant.label,
        "recipe": one.entrant.path,
        "knobs": planned["knobs"],
        "tokenizer": planned["knobs"].get("tokenizer"),
        "parameters": one.parameters,
        "off": off(one.parameters, plan.contestants[0].parameters),
        "images": one.images,
        "flops_per_image": one.cost.flops,
        "seconds_per_image": one.cost.seconds,
        "training_seconds": over_seeds(seconds),
        "points": [_point(points, measures) for points in zip(*by_seed, strict=True)],
    }


def _point(points: Sequence[Point], measures: Sequence[QualityMeasure]) -> dict[str, Any]:
    """One pace over seeds."""
    first = points[0]
    drawn = [point.seconds for point in points if point.seconds is not None]
    return {
        "steps": first.pace.get("steps"),
        "head_steps": first.pace.get("head_steps"),
        "own": first.own,
        "forward_passes": first.passes,
        "seconds": over_seeds(drawn) if drawn else None,
        "quality": {one.name: over_seeds([one.of(point.report) for point in points]) for one in measures},
        "scores": {
            name: over_seeds([point.report["scores"][name] for point in points]) for name in first.report["scores"]
        },
    }


def notes(plan: Plan, found: dict[str, list[list[Point]]]) -> list[str]:
    """What a reader must know before comparing: whatever is not equal."""
    first, lines = plan.contestants[0], []
    knobs = {one.entrant.label: plan.made["recipes"][one.entrant.label]["knobs"] for one in plan.contestants}
    for name in ("tokenizer", "data", "scenes", "batch", "text_length", "vocabulary"):
        values = {label: own[name] for label, own in knobs.items() if name in own}
        if len({str(value) for value in values.values()}) > 1:
            listed = ", ".join(f"{label} {value}" for label, value in values.items())
            lines.append(f"Not the same {name.replace('_', ' ')}: {listed}.")
    for one in plan.contestants[1:]:
        if abs(share := off(one.parameters, first.parameters)) > NEAR:
            more = "more" if share > 0 else "fewer"
            remedy = "" if plan.request.match else "; --match-parameters makes them alike"
            lines.append(
                f"{one.entrant.label} has {abs(share):.0%} {more} parameters than {first.entrant.label}{remedy}."
            )
    if first.entrant.family == "generators" and any(own.get("data") for own in knobs.values()):
        lines.append("Trained on pictures of your own but judged by limner's prompts, so only the drawings tell.")
    protocols = {label: _comparable(points[0][0].report["protocol"]) for label, points in found.items()}
    if len({str(protocol) for protocol in protocols.values()}) > 1:
        lines.append("Not the same protocol of scores, so their scores do not compare: see comparison.json.")
    if any(len(by_seed) < 2 for by_seed in found.values()):
        lines.append("One seed: nothing is known of the spread, and small differences mean nothing.")
    return lines


def _comparable(protocol: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in protocol.items() if name not in ("hash", "seed")}


def _first(plan: Plan, found: dict[str, list[list[Point]]]) -> Point:
    return found[plan.contestants[0].entrant.label][0][0]


def table(result: dict[str, Any]) -> str:
    """table.md: one row per recipe and pace, the recipe's own pace in bold."""
    measures = [measure["name"] for measure in result["measures"]]
    columns = measures or list(result["recipes"][0]["points"][0]["scores"])
    heads = ["recipe", "tokenizer", "parameters", "images", "training", "passes", "s/picture", *columns]
    signs = {"higher": " ↑", "lower": " ↓"}
    better = {measure["name"]: signs[measure["better"]] for measure in result["measures"]}
    rows = [
        _row(recipe, point, columns, "quality" if measures else "scores")
        for recipe in result["recipes"]
        for point in recipe["points"]
    ]
    empty = [all(row[column] == "" for row in rows) for column in range(len(heads))]
    kept = [column for column in range(len(heads)) if not empty[column]]
    titles = [head + better.get(head, "") for head in heads]
    lines = [f"| {' | '.join(cells[column] for column in kept)} |" for cells in (titles, *rows)]
    lines.insert(1, "|" + "---|" * len(kept))
    return "\n".join([*_introduction(result), "", *lines, "", *(f"- {note}" for note in result["notes"]), ""])


def _introduction(result: dict[str, Any]) -> list[str]:
    count, names = len(result["seeds"]), " · ".join(recipe["label"] for recipe in result["recipes"])
    trained = f"{result['budget']} for each training, {count} seed{'s' if count > 1 else ''} each"
    judged = f"the same data in the same order; scores on {result['protocol']['reference']}."
    numbers = "A number is the mean over seeds with its 95 % bootstrap interval, which three seeds make too narrow;"
    paces = "bold is a recipe at its own number of passes. Passes are calls of the backbone for one picture."
    return [f"# {names}", "", f"{trained}; {judged}", f"{numbers} {paces}"]


def _row(recipe: dict[str, Any], point: dict[str, Any], columns: Sequence[str], kind: str) -> list[str]:
    cells = [
        recipe["label"],
        recipe["tokenizer"] or "",
        f"{recipe['parameters'] / 1e6:.2f} M",
        f"{recipe['images']:,}",
        duration(recipe["training_seconds"]["mean"]),
        "" if point["forward_passes"] is None else str(point["forward_passes"]),
        "" if point["seconds"] is None else f"{point['seconds']['mean']:.3f}",
        *(_interval(point[kind][column]) for column in columns),
    ]
    bold = point["own"] and point["forward_passes"] is not None
    return [f"**{cell}**" if bold and cell else cell for cell in cells]


def _interval(value: dict[str, Any]) -> str:
    mean, (low, high) = value["mean"], value["interval"]
    return f"{mean:.3f}" if len(value["values"]) < 2 else f"{mean:.3f} [{low:.3f}, {high:.3f}]"


def duration(seconds: float) -> str:
    """Seconds for people."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
