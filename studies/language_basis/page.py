"""The page of the study: what was asked, what came out, and what it cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from limner.errors import InputError
from limner.evaluate.statistics import Interval
from studies.language_basis import sections
from studies.language_basis.arms import ALL
from studies.language_basis.costs import costs
from studies.language_basis.evidence import interval, jointly, values
from studies.language_basis.hypotheses import (
    Verdict,
    beats_control,
    reconstruction,
    sharing,
    stopping_rule,
    verdicts,
)
from studies.language_basis.plan import RATES, Cell, Results, rate, tutor
from studies.language_basis.sections import Section
from studies.language_basis.sharing import TITLE, cost_table, joint_section
from studies.language_basis.tables import MISSING, Table, percent, signed, words_table
from studies.language_basis.texts import (
    CLAIMS,
    DRAWING,
    HEADINGS,
    LIMITS,
    MIXED,
    NEUTRAL,
    READING,
    WORLD,
)
from studies.language_basis.trial import BATCH, STEPS
from studies.language_basis.world import KINDS


def write_page(results: Results, file: Path, *, mixtures: bool = False) -> list[Path]:
    """Write the page and its plots beside it, in a folder of its name; returns the files. Raises `InputError` for a
    place that cannot be written."""
    back, drawing = sections.back_section(results), joint_section(results)
    made = {
        "H1": sections.free_section(results),
        "H2": sections.sized_section(results),
        "H3": sections.rank_section(results),
        "H4": sections.carried_section(results),
        "H5": Section([*back.tables, *drawing.tables], {**back.plots, **drawing.plots}),
    }
    folder = file.with_suffix("")
    written = [file]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for section in made.values():
            for name, plot in section.plots.items():
                if not plot:
                    continue
                written.append(folder / f"{name}.svg")
                written[-1].write_text(plot, encoding="utf-8")
        file.write_text("\n\n".join(body(results, made, folder.name, mixtures)) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"'{file}' cannot be written ({error.strerror}): choose another place") from None
    return written


def body(results: Results, made: dict[str, Section], folder: str, mixtures: bool) -> list[str]:
    """The paragraphs of the page."""
    judged = verdicts(results)
    parts = [
        "# Does it help to say a picture in the language model's own words?",
        introduction(folder),
        *lead(results, judged),
    ]
    for verdict in judged:
        parts += [f"## {verdict.name}: {HEADINGS[verdict.name]}", f"{CLAIMS[verdict.name]} **{said(verdict)}**"]
        parts += [halves(results)] if verdict.name == "H5" else []
        told = [f"![{name}]({folder}/{name}.svg)" for name, plot in made[verdict.name].plots.items() if plot]
        tables = [measured(one) for one in made[verdict.name].tables]
        told += [table(one) for one in tables if one[1]]
        parts += [table(clauses(verdict)), *told] if told else ["Nothing of it has been measured yet."]
    parts += ["## What can be read", READING, table(measured(words_table(results)))]
    return [*parts, *world(results, mixtures), *costing(results), *LIMITS]


def halves(results: Results) -> str:
    """What becomes of either half of H5, and how the second was set up."""
    first, second = (said(half(results)) for half in (reconstruction, sharing))
    missing = "; ".join(text for arm, text in TITLE.items() if not jointly(results, arm, lambda one: 1.0))
    lacking = f" Not measured: {missing}." if missing else ""
    return f"Its first half, giving back: **{first}** Its second half, drawing: **{second}**\n\n{DRAWING}{lacking}"


def lead(results: Results, judged: Sequence[Verdict]) -> list[str]:
    """The answer, before anything else."""
    rows = [[f"[{one.name}](#{anchor(one.name)})", CLAIMS[one.name], f"**{said(one)}**"] for one in judged]
    better, compared = beats_control(results)
    beaten = "; ".join(f"{name} {signed(interval(gap))}" for name, gap in better)
    rule = stopping_rule(results) or (
        "The stopping rule (if H1 holds and no convex arm beats its random-basis control, speak of interpretability "
        f"and transfer, not accuracy) does not apply. Words beat matched random rows beyond doubt in {len(better)} of "
        f"{compared} comparisons of convex arms{': ' if better else ''}{beaten}."
    )
    return [table((["", "hypothesis", "outcome"], rows), words=3), rule]


def introduction(name: str) -> str:
    """What this is, and where the numbers are."""
    return (
        "Five hypotheses about connectors between a frozen encoder and a frozen language model, registered before "
        "they were trained for, each with its controls (in the second half of H5 the language model learns too). "
        "Written by `python -m studies.language_basis`; every number is in "
        f"[{name}.json]({name}.json). Differences are means over seeds, paired by seed, with 95 % bootstrap intervals: "
        "arms of one seed share the language model, the scenes, their order, and the draws that they start from. With "
        "five seeds such intervals are somewhat too narrow."
    )


def anchor(name: str) -> str:
    """Where a heading's link points."""
    words = f"{name}: {HEADINGS[name]}".lower().replace(":", "").replace(",", "")
    return words.replace(" ", "-")


def said(verdict: Verdict) -> str:
    """The outcome, as a sentence would say it."""
    return {
        "holds": "Holds",
        "does not hold": "Does not hold",
        "falsified": "Falsified",
        "undecided": "Undecided: measurements are missing",
    }[verdict.outcome] + "."


def clauses(verdict: Verdict) -> Table:
    """What it came to, clause by clause."""
    rows = [
        [one.text, number(one.measured), str(one.seeds), ("yes" if one.met else "no") if one.seeds else "-"]
        for one in verdict.parts
    ]
    return ["clause", "measured, points (95 %)", "seeds", "met"], rows


def number(some: Interval) -> str:
    """An interval, in points."""
    return signed(some)


def measured(content: Table) -> Table:
    """The rows of a table that hold a number."""
    heading, rows = content
    return heading, [row for row in rows if any(cell not in (MISSING, "-", "nan") for cell in row[1:])]


def table(content: Table, *, words: int = 1) -> str:
    """In Markdown; the first columns are ``words``."""
    heading, rows = content
    rule = [*["---"] * words, *["---:"] * (len(heading) - words)]
    return "\n".join("| " + " | ".join(line) + " |" for line in [heading, rule, *rows])


def world(results: Results, mixtures: bool) -> list[str]:
    """The world, and what could be answered in it without looking, or at best."""
    facts = [content for name, content in results.items() if name.startswith("facts-")]
    rows = []
    for name, text in (
        ("blind", "the language model alone"),
        ("majority", "the commonest answer of its kind"),
        ("present", "an attribute of something in the picture, at random"),
        ("told", "the language model, told the scene in words"),
    ):
        if facts:
            means = [sum(fact[name][kind] for fact in facts) / len(facts) for kind in ("all", *KINDS)]
            rows.append([text, *(f"{100 * one:.1f}" for one in means)])
    others = interval(values(results, Cell("mlp"), lambda one: one["others"]))
    rows.append(["the MLP, shown another scene", percent(others), *[""] * len(KINDS)])
    gain = [interval(values(results, Cell("mlp"))).mean, others.mean]
    gained = f"Multi-modal gain of the MLP over another scene's picture: {100 * (gain[0] - gain[1]):.1f} points."
    return [
        "## The world",
        WORLD + (MIXED if mixtures else NEUTRAL),
        table((["accuracy, %", "all", *KINDS], rows)),
        gained,
    ]


def costing(results: Results) -> list[str]:
    """Parameters, operations, learning rates, time."""
    spent = Counter[str]()
    counted = Counter[str]()
    for content in results.values():
        if "seconds" in content:
            kind = {None: "of language model, connector and drawing", "none": "of a connector alone"}.get(
                content["trial"].get("ross"), "with the picture given back"
            )
            spent[kind] += content["seconds"]["cpu"]
            counted[kind] += 1
    budget = [
        [f"trainings {kind}", str(counted[kind]), f"{spent[kind] / counted[kind]:.1f}", f"{spent[kind] / 60:.0f}"]
        for kind in sorted(counted)
    ]
    price = costs()
    rows = []
    for arm in ALL:
        if arm.name == tutor(arm.name) or arm.name.endswith("leak"):
            chosen = rate(arm.name, results)
            cost = price[arm.name]
            rows.append(
                [
                    arm.title,
                    f"{cost.parameters:,}",
                    f"{cost.operations / 1e6:.1f}",
                    f"{cost.connector / 1e6:.2f}",
                    "-" if chosen is None else f"{chosen:g}",
                ]
            )
    spread = [
        max(some) / min(some) - 1 for some in zip(*((c.parameters, c.operations) for c in price.values()), strict=True)
    ]
    heading = [
        "arm",
        "parameters",
        "operations of a step, M",
        "of the connector, forward, M",
        "rate",
    ]
    told = (
        f"{STEPS} steps of {BATCH} scenes each, whatever the number of scenes. Over all arms parameters differ by "
        f"{100 * spread[0]:.1f} % and operations of a step by {100 * spread[1]:.1f} % at most. Rates were chosen among "
        f"{', '.join(f'{one:g}' for one in RATES)} on validation scenes with the first two seeds; a rank takes its "
        "family's at rank 8."
    )
    return [
        "## What it cost",
        told,
        table((["", "number", "CPU seconds each", "CPU minutes in all"], budget)),
        table((heading, rows)),
        *([table(second)] if (second := cost_table(results))[1] else []),
    ]
