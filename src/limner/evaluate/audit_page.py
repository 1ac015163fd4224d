"""The report of an audit as a page to look at: HTML with its plot inside, or Markdown with the plot beside it.

The plot has a row per category: a grey dot for the language base, an orange one for the model without pictures, a blue
one with them. The blue line between the last two is the multi-modal gain, the orange one the leakage.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias
from urllib.parse import quote

from limner.data.question_sets import FLAGS, Item, replace_text
from limner.errors import InputError, printable
from limner.evaluate.audit import ARMS, Audit, Part, withheld
from limner.evaluate.statistics import Interval

NAMES = {"with_image": "with pictures", "without_image": "without pictures", "base": "language base"}
MEANINGS = {
    "text": "text alone answers it",
    "question": "the question holds the answer",
    "leaked": "multi-modal training had seen it",
}
COLOURS = {"with_image": "#2b6cb0", "without_image": "#dd7a1f", "base": "#8a8f98"}
Table: TypeAlias = tuple[list[str], list[list[str]]]  # heading and rows; the first column is words
_MARKS = re.compile(r"[\\`*_{}\[\]()#+!|~&$>-]")
LISTED = 40  # flagged questions that a page shows
ROW, TOP, LEFT, WIDTH = 34, 72, 190, 760  # pixels of the plot
STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;color:#222;max-width:52rem;margin:3rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;margin:1rem 0}td,th{padding:.25rem .9rem .25rem 0;text-align:right;"
    "border-bottom:1px solid #e5e5e8;font-variant-numeric:tabular-nums}td:first-child,th:first-child,"
    "td.words{text-align:left}h1{font-weight:600}p.lead{font-size:1.15rem}svg{max-width:100%;height:auto}"
)


def write_page(path: Path, result: Audit, items: Sequence[Item], *, title: str) -> list[Path]:
    """Write ``.html``, or ``.md`` with an ``.svg`` beside it; returns the files. Raises InputError for another ending
    or a place that cannot be written."""
    check_report(path)
    drawing = path.with_suffix(".svg")
    if path.suffix.lower() == ".html":
        pages = {path: _as_html(result, items, title)}
    else:
        pages = {path: _as_markdown(result, items, title, drawing.name), drawing: plot(result)}
    for file, text in pages.items():
        replace_text(file, printable(text))
    return [*pages]


def check_report(path: Path) -> None:
    """Raises InputError for an ending that `write_page` does not know."""
    if path.suffix.lower() not in (".html", ".md"):
        raise InputError(f"'{path}' does not end like a report: end it with .html or .md")


def points(value: float) -> str:
    """A share in percentage points, one digit."""
    return f"{100 * value:.1f}"


def spread(interval: Interval) -> str:
    """An interval in percentage points."""
    return f"{points(interval.low)} to {points(interval.high)}"


def verdict(part: Part) -> str:
    """The audit in one sentence."""
    needless = part.flagged["text"] + part.flagged["leaked"]
    return (
        f"Of {points(part.with_image.mean)} % right answers {points(part.gain.mean)} points come from the pictures "
        f"(MG) and {points(part.leakage.mean)} from what multi-modal training had seen before (ML); {needless} of "
        f"{part.questions} questions need no picture."
    )


def summary_table(total: Part) -> Table:
    """Scores, gain and leakage with their intervals."""
    values = [(NAMES[arm], getattr(total, arm)) for arm in ARMS]
    values += [("multi-modal gain MG", total.gain), ("multi-modal leakage ML", total.leakage)]
    return [f"{total.questions} questions", "%", "95 %"], [[name, points(v.mean), spread(v)] for name, v in values]


def score_table(result: Audit) -> Table:
    """A row per category after that of all."""
    heading = ["category", "questions", *NAMES.values(), "MG", "95 %", "ML", *FLAGS]
    return heading, [
        [name or "(none)", str(one.questions), *(points(getattr(one, arm).mean) for arm in ARMS)]
        + [points(one.gain.mean), spread(one.gain), points(one.leakage.mean)]
        + [str(one.flagged[flag]) for flag in FLAGS]
        for name, one in parts_of(result)
    ]


def found_table(result: Audit) -> Table:
    """Precision and recall of the flags whose truth is known."""
    return ["planted, and found", "precision", "recall"], [
        [MEANINGS[flag], points(p), points(r)] for flag, (p, r) in result.found.items()
    ]


def flagged_table(result: Audit, items: Sequence[Item]) -> Table:
    """The first flagged questions, with scores and reason."""
    by_id = {item.id: item for item in items}
    return ["questions that need no picture", *NAMES.values(), "because"], [
        [
            f"{by_id[v.id].question} ({by_id[v.id].answers[0]})",
            *(points(getattr(v, arm)) for arm in ARMS),
            MEANINGS["question" if v.question else "text" if v.text else "leaked"],
        ]
        for v in [v for v in result.verdicts if v.text or v.leaked][:LISTED]
    ]


def parts_of(result: Audit) -> list[tuple[str, Part]]:
    """All questions, then each category, unless there is one only."""
    rows = [("all", result.total), *sorted(result.categories.items())]
    return rows if len(rows) > 2 else rows[:1]


def notes(result: Audit) -> list[str]:
    """What must be known to read the numbers."""
    lines = [
        f"Not counted as any option: {points(result.unread[arm])} % of the answers {NAMES[arm]}."
        for arm in ARMS
        if result.unread[arm]
    ]
    if result.first_letter:
        letters = ", ".join(f"{points(score)} {NAMES[arm]}" for arm, score in result.first_letter.items())
        lines.append(f"Under MMStar's first-letter rule the scores are {letters}.")
    for arm, categories in withheld(result).items():
        if categories:
            names = ", ".join(name or "(none)" for name in categories)
            lines.append(
                f"No flags by the answers of the {_teller(arm)} in {names}: more than one in ten would be luck."
            )
    return lines


def plot(result: Audit) -> str:
    """The dots and lines of every category, as SVG."""
    rows = parts_of(result)
    height = TOP + ROW * len(rows)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" ',
        'font-family="system-ui,sans-serif" font-size="13" fill="#333"><rect width="100%" height="100%" fill="#fff"/>',
    ]
    for tick in range(0, 101, 25):
        x = _across(tick / 100)
        parts.append(f'<line x1="{x}" x2="{x}" y1="{TOP - 24}" y2="{height - 12}" stroke="#e8e8ec"/>')
        parts.append(f'<text x="{x}" y="{TOP - 32}" text-anchor="middle" fill="#888">{tick} %</text>')
    for place, (arm, name) in enumerate(NAMES.items()):
        x = LEFT + 170.0 * place
        parts.append(f'<circle cx="{x}" cy="10" r="5" fill="{COLOURS[arm]}"/><text x="{x + 10}" y="14">{name}</text>')
    for index, (name, one) in enumerate(rows):
        parts += _row(name or "(none)", one, TOP - 6 + ROW * index)
    return "\n".join([*parts, "</svg>", ""])


def _row(name: str, one: Part, y: int) -> list[str]:
    """A category of the plot: its name, the lines of gain and leakage, a dot per arm."""
    x = {arm: _across(getattr(one, arm).mean) for arm in ARMS}
    drawn = [f'<text x="{LEFT - 16}" y="{y + 4}" text-anchor="end">{html.escape(name)}</text>']
    lines = [("with_image", "without_image"), ("without_image", "base")]
    for arm, other in lines if one.without_image.mean > one.base.mean else lines[:1]:
        line = f'<line x1="{x[arm]}" x2="{x[other]}" y1="{y}" y2="{y}" stroke="{COLOURS[arm]}"'
        drawn.append(line + ' stroke-width="3" stroke-opacity=".45"/>')
    return drawn + [f'<circle cx="{x[arm]}" cy="{y}" r="6" fill="{COLOURS[arm]}"/>' for arm in reversed(ARMS)]


def _across(share: float) -> float:
    return round(LEFT + (WIDTH - LEFT - 40) * share, 1)


def _teller(arm: str) -> str:
    return "model without pictures" if arm == "without_image" else "language base"


def _tables(result: Audit, items: Sequence[Item]) -> list[Table]:
    made = [summary_table(result.total), score_table(result), found_table(result), flagged_table(result, items)]
    return [table for table in made if table[1]]


def _as_html(result: Audit, items: Sequence[Item], title: str) -> str:
    body = [f"<h1>{html.escape(title)}</h1>", f'<p class="lead">{verdict(result.total)}</p>', plot(result)]
    for heading, rows in _tables(result, items):
        head = "".join(f"<th>{html.escape(cell)}</th>" for cell in heading)
        lines = ["<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows]
        body.append(f"<table><tr>{head}</tr>\n" + "\n".join(lines) + "\n</table>")
    body += [f"<p>{html.escape(note)}</p>" for note in notes(result)]
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{STYLE}</style>\n" + "\n".join(body) + "</html>\n"
    )


def _as_markdown(result: Audit, items: Sequence[Item], title: str, drawing: str) -> str:
    body = [f"# {marked(title)}", verdict(result.total), f"![scores by category]({quote(drawing)})"]
    for heading, rows in _tables(result, items):
        lines = [heading, ["---", *["---:"] * (len(heading) - 1)], *rows]
        rule = lines.pop(1)
        cells = [[marked(cell) for cell in line] for line in lines]
        body.append("\n".join("| " + " | ".join(line) + " |" for line in (cells[0], rule, *cells[1:])))
    return "\n\n".join([*body, *map(marked, notes(result))]) + "\n"


def marked(text: str) -> str:
    """A text as Markdown shows it: nothing in it is a mark, a tag, a cell's end or a line's."""
    return _MARKS.sub(r"\\\g<0>", " ".join(text.split())).replace("<", "&lt;").replace("://", ":&#47;/")
