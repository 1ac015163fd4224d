"""``limner swap``: another language model behind the same eyes, without training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

from limner.cli.command import Flag, console, parse, print_json, standard_output_kept
from limner.errors import InputError

EXAMPLES = """\
  limner train language_basis --encoder runs/superclass --out runs/words
  limner train llava --encoder runs/superclass --subwords runs/words --width 128 --out runs/other
  limner swap runs/words runs/other --out runs/swapped --control permuted
  limner see drawing.png --model runs/swapped"""

PURPOSE = """\
Give a model that sees in words the language model of another one, without training.

Encoder and coefficients stay; the words that are mixed become those of the other language model's table, and the gain
is refitted so that vectors lie as far from the mean of words as before. Both must have the same words: train the second
model with --subwords of the first. The swapped model is saved, and answers about held-out scenes:

  own        the model as it was
  swapped    with the other language model
  permuted   (--control permuted) the same with words exchanged at random: if the swap is worth something, this fails
  native     the other language model with the eyes that it was trained with
  majority   what the commonest answer of each kind of question would get
  chance     what a guess among the answers of a kind would get

(Liao et al., "LangBridge", arXiv:2503.19404.)"""


@dataclass(frozen=True)
class Swap:
    """Give a model that sees in words the language model of another one."""

    model: Positional[str]
    """The model that sees: a run of language_basis, or the folder of one that was saved."""
    language: Positional[str]
    """The model whose language model it gets: a run of any recipe of understanding, with the same subwords."""
    out: Annotated[Path, arg(aliases=["-o"])]
    """Folder for the swapped model."""
    count: Annotated[int, arg(aliases=["-n"])] = 100
    """Held-out scenes, four questions each."""
    control: Literal["none", "permuted"] = "none"
    """Also measure what exchanging words at random leaves; that model is not saved."""
    seed: int = 0
    """Of that exchange."""
    json: Flag = False
    """Print one object {"model", "language", "file", "scenes", "scores"} and nothing else."""


def run(arguments: list[str]) -> None:
    """Swaps, saves, measures and prints."""
    options = parse(Swap, "limner swap", EXAMPLES, arguments, PURPOSE)
    if options.count < 1:
        raise InputError(f"--count is {options.count}, but must be at least 1")
    with standard_output_kept(options.json):
        report = swap(options)
    if options.json:
        print_json(report)
    else:
        print_table(report)


def swap(options: Swap) -> dict[str, Any]:
    """Saves the swapped model; returns what ``--json`` prints."""
    from limner.recipes import swapping

    first, second = swapping.read_run(options.model), swapping.read_run(options.language)
    models = {"own": first.model, "swapped": swapping.swap(first, second)}
    folder = swapping.save_swapped(models["swapped"], first, second, options.out)
    if options.control == "permuted":
        models["permuted"] = swapping.permuted(first, second, options.seed)
    if second.model.size == first.model.size:
        models["native"] = second.model
    return {
        "model": options.model,
        "language": options.language,
        "file": str(folder),
        "scenes": options.count,
        "scores": swapping.scores(models, options.count),
    }


def print_table(report: dict[str, Any]) -> None:
    """A column per model and a row per kind of question, in per cent."""
    from rich.table import Table

    scores = report["scores"]
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(f"{report['scenes']} held-out scenes", no_wrap=True)
    for name in scores:
        table.add_column(name, justify="right", no_wrap=True)
    kinds = sorted(scores["own"], key=lambda kind: (kind == "overall", kind))
    for kind in kinds:
        cells = [f"{100 * of[kind]:.1f}" for of in scores.values()]
        table.add_row(kind, *cells, style="bold" if kind == "overall" else None, end_section=kind == kinds[-2])
    out = console(soft_wrap=True)
    out.print(table)
    out.print(kept(scores))
    out.print(f"wrote {report['file']}")


def kept(scores: dict[str, dict[str, float]]) -> str:
    """The swap in one sentence: of what the model knew beyond the commonest answers, how much is left?"""
    own, swapped, majority = (scores[name]["overall"] for name in ("own", "swapped", "majority"))
    if own <= majority:
        return "The model itself answers no better than the commonest answers do: there was nothing to keep."
    share = (swapped - majority) / (own - majority)
    return f"The swap keeps {100 * share:.0f} % of what the model answers above the commonest answers."
