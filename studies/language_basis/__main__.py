"""``python -m studies.language_basis``: run pre-registered hypotheses with controls, and write the page of verdicts."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import arg

from limner.cli.command import Flag, parse, print_json, standard_output_kept
from limner.errors import InputError, LimnerError

EXAMPLES = """\
  python -m studies.language_basis --minutes 30
  python -m studies.language_basis --hypotheses H1 H2 --seeds 5
  python -m studies.language_basis --results docs/studies/language-basis.json
  python -m studies.language_basis --scale 0.01 --seeds 1 --runs rehearsal --out rehearsal"""

PURPOSE = """\
Run the study: hypotheses that were written down before anything was trained, each with the controls that could refute
it, over several seeds. What is measured is kept, one small file per training, so the same command goes on where it was
stopped and adds seeds or hypotheses to what there is. The page is written anew every time, from all there is.

  language-basis   does it help a language model to be told a picture in its own words?
                   H1 unconstrained words = MLP = random rows    H2 words where data are short or noisy
                   H3 how many words or directions               H4 to another language model, untrained
                   H5 giving the picture back (ROSS), and drawing it through the same words
                   about 450 trainings of 5 to 10 s on one core, and for H5 33 of half a minute"""

NAME = "language-basis"


@dataclass(frozen=True)
class StudyOptions:
    """Run a study and write its page."""

    seeds: int = 5
    """Repetitions, each with its own language model, scenes and draws; verdicts need five."""
    hypotheses: tuple[str, ...] = ("H1", "H2", "H3", "H4", "H5")
    """Which, in order of urgency."""
    minutes: float = 0.0
    """Stop after this many minutes, between trainings; 0 goes on to the end."""
    scale: float = 1.0
    """Share of scenes and steps; below 1 rehearses, in a folder of its own, and proves nothing."""
    mixtures: Flag = False
    """With language models that have read mixtures of words in place of neutral symbols, which favours bases of words:
    a study of its own, in files of its own."""
    runs: Path = Path("runs/studies")
    """Folder of what is trained and measured."""
    results: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: none)")] = None
    """Train nothing: write the page from this file of results."""
    out: Annotated[Path, arg(aliases=["-o"])] = Path("docs/studies")
    """Folder of the page, its plots and its file of results."""
    json: Flag = False
    """Print one object {"study", "verdicts", "files", ...} and nothing else."""


def run(arguments: list[str]) -> None:
    """Runs what is missing, writes the page, prints the verdicts."""
    options = parse(StudyOptions, "python -m studies.language_basis", EXAMPLES, arguments, PURPOSE)
    check(options)
    with standard_output_kept(options.json):
        report = conduct(options)
    if options.json:
        print_json(report)
        return
    for verdict in report["verdicts"]:
        print(f"{verdict['name']}: {verdict['outcome']}")
    if not report["complete"]:
        print("time ran out; the same command goes on")
    print(f"wrote {report['files'][0]}")


def check(options: StudyOptions) -> None:
    """Refuses what cannot be run."""
    if options.seeds < 1 or not 0 < options.scale <= 1 or options.minutes < 0:
        raise InputError(
            f"--seeds {options.seeds}, --scale {options.scale} and --minutes {options.minutes} cannot be run: take at "
            "least one seed, a scale above 0 and up to 1, and no fewer than 0 minutes"
        )
    known = ("H1", "H2", "H3", "H4", "H5")
    if unknown := [one for one in options.hypotheses if one not in known]:
        raise InputError(f"there is no hypothesis {unknown[0]!r}: choose among {', '.join(known)}")


def conduct(options: StudyOptions) -> dict[str, Any]:
    """Trains, reads, writes; returns what ``--json`` prints."""
    from studies.language_basis.hypotheses import verdicts
    from studies.language_basis.page import write_page
    from studies.language_basis.running import Study, read, write

    title = f"{NAME}-mixtures" if options.mixtures else NAME
    page = options.out / f"{title}.md"
    kept = page.with_suffix(".json")
    complete = True
    if options.results is not None:
        results = read(options.results)
    else:
        folder = options.runs / (title if options.scale == 1 else f"{title}-{options.scale:g}")
        study = Study(
            folder,
            options.seeds,
            options.hypotheses,
            options.scale,
            options.minutes,
            say=lambda line: print(line, file=sys.stderr),
            mixtures=options.mixtures,
        )
        complete = study.run()
        results = read(folder)
    written = write_page(results, page, mixtures=options.mixtures)
    write(results, kept)
    return {
        "study": NAME,
        "complete": complete,
        "trainings": sum("trial" in content for content in results.values()),
        "verdicts": [{"name": one.name, "outcome": one.outcome} for one in verdicts(results)],
        "files": [str(file) for file in (*written, kept)],
    }


def main(arguments: list[str]) -> int:
    """One command line and its exit code: 0, or 2 for what is refused, in one sentence on standard error."""
    try:
        run(arguments)
    except LimnerError as error:
        print(f"studies: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
