"""What is told of each hypothesis: tables and plots, from results alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from limner.evaluate.statistics import Interval
from studies.language_basis.arms import ARMS, RANKS
from studies.language_basis.evidence import (
    Read,
    Values,
    found,
    interval,
    minus,
    of_kinds,
    overall,
    under_noise,
    values,
)
from studies.language_basis.hypotheses import (
    FINE,
    given_back,
    kept_by,
)
from studies.language_basis.measures import SIGMAS
from studies.language_basis.plan import (
    CARRIED,
    FEW_SCENES,
    FREE,
    GRID,
    LONGER,
    ROSS,
    SIZED,
    Cell,
    Results,
    wanted,
)
from studies.language_basis.plots import (
    BROWN,
    CYAN,
    GREEN,
    GREY,
    INDIGO,
    ORANGE,
    RED,
    Axis,
    Line,
    Number,
    Row,
    differences,
    lines,
)
from studies.language_basis.tables import (
    FAMILY,
    SHORT,
    Table,
    kinds_table,
    leak_table,
    noise_table,
    over_table,
    percent,
    rank_table,
    share_table,
    signed,
    size_table,
    turned_table,
)
from studies.language_basis.world import KINDS

COLOURS = {
    "mlp": INDIGO,
    "mlp-normed": CYAN,
    "soft-words": ORANGE,
    "soft-matched": GREY,
    "soft-learned": GREEN,
    "few-words": RED,
    "few-matched": BROWN,
}


@dataclass(frozen=True)
class Section:
    """Tables, and plots by file name; empty where nothing was measured."""

    tables: Sequence[Table]
    plots: dict[str, str]


def lined(title: str, x: Axis, y: Axis, found: Sequence[Line]) -> str:
    """The lines that have two points, or nothing if none has."""
    some = [line for line in found if len(line.points) > 1]
    return lines(title, x, y, some) if some else ""


def compared(title: str, rows: Sequence[Row], bounds: Sequence[float], ticks: Sequence[float]) -> str:
    """The differences that were measured, or nothing if none was."""
    some = [row for row in rows if not math.isnan(row[1].mean)]
    return differences(title, some, bounds, ticks) if some else ""


def free_section(results: Results) -> Section:
    """H1."""
    words = values(results, Cell("free-words"))
    rows = [
        (ARMS[arm].title, interval(minus(words, values(results, Cell(arm)))), INDIGO)
        for arm in FREE
        if arm != "free-words"
    ]
    plot = compared(
        "Unconstrained words less ..., points of accuracy",
        rows,
        (-0.01, 0.01),
        [step / 100 for step in range(-10, 11, 2)],
    )
    heading = ["unconstrained words less", "points (95 %)", f"with {LONGER} times the steps"]
    others = [arm for arm in FREE if arm != "free-words"]
    longer = values(results, Cell("free-words", longer=LONGER))
    late = [signed(interval(minus(longer, values(results, Cell(arm, longer=LONGER))))) for arm in others]
    late_scores = [percent(interval(values(results, Cell(arm, longer=LONGER)))) for arm in FREE]
    table = heading, [[row[0], signed(row[1]), gap] for row, gap in zip(rows, late, strict=True)]
    scores = kinds_table(results, FREE)
    scores[0].append(f"all, {LONGER} times the steps")
    for row, score in zip(scores[1], late_scores, strict=True):
        row.append(score)
    return Section([scores, table], {"h1-differences": plot, "h1-losses": loss_plot(results)})


def loss_plot(results: Results) -> str:
    """Training losses of the first hypothesis' arms."""
    drawn = []
    colours = (INDIGO, CYAN, ORANGE, GREY, BROWN)
    for arm, colour in zip(FREE, colours, strict=True):
        curves = [result["curve"] for result in found(results, Cell(arm)).values()]
        if curves:
            means = [sum(column) / len(curves) for column in zip(*curves, strict=True)]
            points = [((place + 1) / len(means), Interval(value, value, value)) for place, value in enumerate(means)]
            drawn.append(Line(SHORT[arm], colour, points))
    x = Axis("share of training", 0.0, 1.0, [(v, f"{v:g}") for v in (0.0, 0.25, 0.5, 0.75, 1.0)])
    y = Axis("loss, nats", 0.08, 4.0, [(v, f"{v:g}") for v in (0.1, 0.2, 0.5, 1.0, 2.0, 4.0)], logarithmic=True)
    return lined("Loss of the answers in training, mean over seeds", x, y, drawn)


def curve(results: Results, name: str, colour: str, at: Sequence[tuple[Number, Values]], dashed: bool = False) -> Line:
    """A line through what was measured of a list of settings."""
    return Line(name, colour, [(x, interval(some)) for x, some in at if some], dashed)


def sized_section(results: Results) -> Section:
    """H2."""
    x = Axis("scenes that a connector learns from", GRID[0], GRID[-1], [(n, f"{n:,}") for n in GRID], logarithmic=True)
    y = Axis("accuracy", 0.3, 1.0, [(v / 10, f"{10 * v} %") for v in range(3, 11)])
    by_size = [
        curve(results, SHORT[arm], COLOURS[arm], [(n, values(results, Cell(arm, n))) for n in GRID]) for arm in SIZED
    ]
    sigmas = (0.0, *SIGMAS)
    noisy = Axis("noise, in deviations of a feature", 0.0, SIGMAS[-1], [(s, f"{s:g}") for s in sigmas])

    def heard(arm: str) -> list[tuple[Number, Values]]:
        return [(s, values(results, Cell(arm), under_noise(s) if s else overall)) for s in sigmas]

    by_noise = [curve(results, SHORT[arm], COLOURS[arm], heard(arm)) for arm in SIZED]
    plots = {
        "h2-scenes": lined("Accuracy by scenes to learn from", x, y, by_size),
        "h2-noise": lined("Accuracy under noise, all scenes", noisy, y, by_noise),
    }
    return Section([size_table(results), noise_table(results), over_table(results), turned_table(results)], plots)


def rank_section(results: Results) -> Section:
    """H3."""
    x = Axis("vectors of the basis", RANKS[0], 64, [(n, str(n)) for n in (*RANKS, 64)], logarithmic=True)
    y = Axis("accuracy", 0.2, 1.0, [(v / 10, f"{10 * v} %") for v in range(2, 11)])
    whole = (64.0, values(results, Cell("free-words")))
    drawn = [
        curve(results, text, colour, [*((float(r), values(results, Cell(f"{name}-{r}"))) for r in RANKS), whole])
        for name, (text, colour) in FAMILY.items()
    ]
    mlp = values(results, Cell("mlp"))
    oracle = [(float(r), values(results, Cell("mlp"), flattened_to(r))) for r in RANKS]
    drawn.append(curve(results, "MLP's own directions", BROWN, [*oracle, (64.0, mlp)], dashed=True))
    kinds = [
        curve(
            results,
            kind,
            colour,
            [
                *((float(r), values(results, Cell(f"svd-{r}"), of_kinds(kind))) for r in RANKS),
                (64.0, values(results, Cell("free-words"), of_kinds(kind))),
            ],
        )
        for kind, colour in zip(KINDS, (GREY, ORANGE, RED, CYAN, INDIGO, GREEN), strict=True)
    ]
    plots = {
        "h3-ranks": lined("Accuracy by rank, coefficients unconstrained", x, y, drawn),
        "h3-kinds": lined("Principal directions, by kind of question", x, y, kinds),
    }
    return Section([rank_table(results), share_table(results)], plots)


def flattened_to(rank: int) -> Read:
    """Accuracy of an MLP's vectors in their own principal directions."""
    return lambda result: result["rank"][str(rank)]


def carried_section(results: Results) -> Section:
    """H4."""
    rows, drawn = [], []
    for arm in (*CARRIED, "free-matched"):
        how = "map" if arm == "mlp" else "words"
        title = ARMS[arm].title + (", least-squares map" if arm == "mlp" else "")
        cells = [percent(interval(values(results, Cell(arm))))]
        for where, colour in (("second", INDIGO), ("wide", ORANGE)):
            kept = interval(kept_by(results, arm, where, how))
            cells += [percent(interval(values(results, Cell(arm), swapped(where, how)))), percent(kept)]
            drawn.append((f"{title}: {where}", kept, colour))
        rows.append([title, *cells])
    for where in ("second", "wide"):
        some = interval(kept_by(results, "few-words", where, "permuted"))
        drawn.append((f"{ARMS['few-words'].title}, permuted at the swap: {where}", some, GREY))
    heading = ["", "at home, %", "second model, %", "kept, %", "wider model, %", "kept, %"]
    plot = compared(
        "Share of native accuracy above chance that is kept, %", drawn, (0.8,), [step / 10 for step in range(-4, 11, 2)]
    )
    return Section([(heading, rows)], {"h4-kept": plot})


def swapped(where: str, how: str) -> Read:
    """Accuracy in front of another language model."""
    return lambda result: result[f"swap-{where}"][how]


def back_section(results: Results) -> Section:
    """H5."""
    rows, drawn = [], []
    planned = {(cell.arm, cell.ross) for cell in wanted("H5")}
    for arm in ("mlp", "soft-words", "soft-words-leak"):
        cells = [percent(interval(values(results, Cell(arm, FEW_SCENES), of_kinds(*FINE))))]
        for ross in ROSS[1:]:
            gain = interval(given_back(results, arm, ross))
            cells.append(signed(gain) if (arm, ross) in planned else "-")
            if (arm, ross) in planned:
                drawn.append((f"{SHORT.get(arm, 'softmax, words, leak')}: {ross}", gain, COLOURS.get(arm, RED)))
        rows.append([ARMS[arm].title, *cells])
    heading = ["place and number", "without, %", *ROSS[1:]]
    plot = compared(
        "What giving pictures back adds to place and number, points",
        drawn,
        (),
        [step / 100 for step in range(-6, 7, 2)],
    )
    return Section([(heading, rows), leak_table(results)], {"h5-gains": plot})
