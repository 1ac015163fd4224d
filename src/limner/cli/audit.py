"""``limner audit``: was the picture needed?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

from limner.cli.command import Flag, console, parse, print_json, standard_output_kept
from limner.errors import InputError

EXAMPLES = """\
  limner audit questions.jsonl --prompts asked.jsonl --shuffles 16
  limner audit questions.jsonl --answers with.jsonl --blind blind.jsonl --base base.jsonl
  limner audit questions.jsonl --answers with.jsonl --blind blind.jsonl --base base.jsonl --report audit.html"""

PIPE_WIDTH = 160

PURPOSE = """\
Was the picture needed? Audit a model that sees, and the questions it is tested with, by its recorded answers.

Three runs over the same questions are compared: the model with the pictures, the same model without them, and
its language base as it was before any multi-modal training.

  multi-modal gain     MG = S_with - S_without           what the pictures gave; about 0: nothing was seen
  multi-modal leakage  ML = max(0, S_without - S_base)   what training on pictures taught about the test itself

Each question is flagged "text" if a language model knows the answer, "question" if the question names it, "leaked" if
the model knows it without the picture and no language model does. Ask each question several times with its options in
different orders: then knowing can be told from guessing.

A question is a line {"id", "question", "options", "answer", "image", "category"}, an answer a line {"id", "order",
"answer"}; see docs/audit.md. (Chen et al., "Are We on the Right Way for Evaluating Large Vision-Language Models?",
arXiv:2403.20330.)"""


@dataclass(frozen=True)
class AuditOptions:
    """Audit a model that sees by its recorded answers."""

    questions: Positional[Path]
    """JSONL file of the questions."""
    answers: Annotated[Path | None, arg(metavar="PATH", help_behavior_hint="")] = None
    """JSONL file of the model's answers with the pictures."""
    blind: Annotated[Path | None, arg(metavar="PATH", help_behavior_hint="")] = None
    """JSONL file of its answers without them."""
    base: Annotated[tuple[Path, ...], arg(metavar="PATH [PATH ...]", help_behavior_hint="")] = ()
    """JSONL file of its language base's answers; further files of other language models sharpen the flag "text"."""
    rule: Literal["meant", "first-letter"] = "meant"
    """How an option is read: what was meant, or MMStar's official first-letter rule."""
    report: Annotated[Path | None, arg(metavar="PATH", help_behavior_hint="(default: none)")] = None
    """Write a page with a plot: .html, or .md with an .svg beside it."""
    prompts: Annotated[Path | None, arg(metavar="PATH", help_behavior_hint="(default: none)")] = None
    """Write what to ask instead, a prompt per line; put an "answer" into each line and it is an answer file."""
    shuffles: int = 16
    """With --prompts: orders in which options are asked."""
    repeats: int = 1
    """With --prompts: times that open questions are asked, for models that draw their answers."""
    json: Flag = False
    """Print one object {"model", "protocol", "weights", "scores", "hash", "intervals", ...} and nothing else."""


def run(arguments: list[str]) -> None:
    """Audits, or writes prompts, and prints what came out."""
    options = parse(AuditOptions, "limner audit", EXAMPLES, arguments, PURPOSE)
    if options.prompts is not None:
        report = write_prompts(options, options.prompts)
        print_json(report) if options.json else print(f"wrote {report['prompts']} prompts to {report['file']}")
        return
    with standard_output_kept(options.json):
        result, report = audit(options)
    if options.json:
        print_json(report)
    else:
        print_tables(result, report)


def write_prompts(options: AuditOptions, file: Path) -> dict[str, Any]:
    """Writes what to ask; returns what ``--json`` prints."""
    from limner.data.lines import write_rows
    from limner.data.question_sets import read_questions
    from limner.evaluate.asking import prompts

    items = read_questions(options.questions)
    rows = prompts(items, shuffles=options.shuffles, repeats=options.repeats)
    write_rows(file, rows)
    return {"file": str(file), "questions": len(items), "prompts": len(rows)}


def audit(options: AuditOptions) -> tuple[Any, dict[str, Any]]:
    """The audit of the recorded answers, and what ``--json`` prints of it."""
    from limner.data.question_sets import read_answers, read_questions
    from limner.evaluate import audit as auditing
    from limner.evaluate.asking import read_first_letter
    from limner.evaluate.audit_page import check_report, notes, write_page
    from limner.evaluate.extraction import read_option
    from limner.evaluate.probes import probe_scores

    if options.answers is None or options.blind is None or not options.base:
        raise InputError("an audit needs --answers, --blind and --base: `limner audit --help` says what they are")
    if options.report is not None:
        check_report(options.report)  # before the audit, which may take long
    items = read_questions(options.questions)
    seen, blind = read_answers(options.answers, items), read_answers(options.blind, items)
    bases = [read_answers(file, items) for file in options.base]
    read = read_option if options.rule == "meant" else read_first_letter
    result = auditing.audit(items, seen, blind, bases, read=read)
    model, reference = options.answers.stem, options.questions.name
    report = auditing.audit_report(result, items, model=model, reference=reference, reader=options.rule)
    report["yes_no"] = {name: scores._asdict() for name, scores in probe_scores(items, seen).items()}
    report["notes"] = notes(result)
    if options.report is not None:
        written = write_page(options.report, result, items, title=f"{model} on {options.questions.stem}")
        report["files"] = [str(file) for file in written]
    return result, report


def print_tables(result: Any, report: dict[str, Any]) -> None:
    """The audit on the terminal."""
    from rich.table import Table

    from limner.evaluate.audit_page import found_table, points, score_table, summary_table, verdict

    out = console(PIPE_WIDTH)
    made = [summary_table(result.total), score_table(result), found_table(result)]
    if report["yes_no"]:
        rows = [[name, *map(points, scores.values())] for name, scores in report["yes_no"].items()]
        made.append((["yes/no questions", *next(iter(report["yes_no"].values()))], rows))
    for heading, rows in made:
        if rows:
            table = Table(box=None, pad_edge=False, header_style="bold")
            for place, cell in enumerate(heading):
                table.add_column(cell, justify="right" if place else "left", no_wrap=True)
            for row in rows:
                table.add_row(*row)
            out.print(table, "")
    for line in [verdict(result.total), *report["notes"]]:
        out.print(line)
    if "files" in report:
        out.print("wrote " + " and ".join(report["files"]))
