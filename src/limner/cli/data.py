"""``limner data``: show, check, pack and build data sets."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg

from limner.cli import overview
from limner.cli.command import Flag, parse, print_json, standard_output_kept
from limner.data.images import MAX_PIXELS
from limner.errors import InputError

PURPOSE = "Show, check, pack or build a data set: a folder of pictures, WebDataset shards, or a world of limner's own."

VERBS = {
    "show": "write a contact sheet of a data set",
    "check": "read every picture of a folder, of shards or of a file of conversations and name what is broken",
    "pack": "write a data set as WebDataset shards",
    "build": "write one of limner's own worlds as a folder of pictures with captions",
}

EXAMPLES = """\
  limner data show emoji
  limner data check my-pictures
  limner data pack my-pictures shards
  limner data build digits my-digits"""

SHOW = """\
  limner data show emoji
  limner data show my-pictures -n 64 -o sheet.png"""

CHECK = """\
  limner data check my-pictures
  limner data check shards --json
  limner data check llava_instruct.json --pictures coco/train2017"""

PACK = """\
  limner data pack my-pictures shards
  limner data pack scenes shards -n 5000 --shard-size 500"""

BUILD = """\
  limner data build digits my-digits
  limner data build photos my-photos"""


@dataclass(frozen=True)
class Show:
    """Write a contact sheet of a data set."""

    source: Positional[str]
    """A world (emoji, scenes, digits, glyphs, photos), a folder of pictures, or shards."""
    count: Annotated[int, arg(aliases=["-n"])] = 64
    """Pictures on the sheet, spread evenly over the data set."""
    out: Annotated[Path, arg(aliases=["-o"])] = Path("contact-sheet.png")
    """Where to write the sheet."""
    max_pixels: int = MAX_PIXELS
    """Pictures with more pixels are refused before they are decoded."""
    json: Flag = False
    """Print one object and nothing else."""


@dataclass(frozen=True)
class Check:
    """Read every picture of a folder, shards or a file of conversations and name what is broken, with the remedy."""

    path: Positional[str]
    """A folder of pictures, WebDataset shards (a folder, a path or a pattern), or a JSON file: LLaVA conversations or
    COCO captions."""
    pictures: Path | None = None
    """Of a JSON file: the folder that its pictures' paths start from; without it, the file's own."""
    max_pixels: int = MAX_PIXELS
    """Pictures with more pixels are refused before they are decoded."""
    json: Flag = False
    """Print one object and nothing else."""


@dataclass(frozen=True)
class Pack:
    """Write a data set as WebDataset shards."""

    source: Positional[str]
    """A world (emoji, scenes, digits, glyphs, photos), a folder of pictures, or shards."""
    out: Positional[Path]
    """Folder for the shards."""
    count: Annotated[int | None, arg(aliases=["-n"], help_behavior_hint="(default: all, 1000 of an endless world)")] = (
        None
    )
    """Only the first so many pictures."""
    shard_size: int = 1000
    """Pictures per shard."""
    max_pixels: int = MAX_PIXELS
    """Pictures with more pixels are refused before they are decoded."""
    json: Flag = False
    """Print one object and nothing else."""


@dataclass(frozen=True)
class Build:
    """Write one of limner's own worlds as a folder of pictures with captions."""

    world: Positional[str]
    """Which: emoji, scenes, digits, glyphs or photos."""
    out: Positional[Path]
    """Folder for the pictures; it must be empty or not there yet."""
    count: Annotated[int | None, arg(aliases=["-n"], help_behavior_hint="(default: all, 1000 of an endless world)")] = (
        None
    )
    """Only the first so many pictures."""
    json: Flag = False
    """Print one object and nothing else."""


def run(arguments: list[str]) -> int:
    """Dispatches to one of the four; returns 1 when `check` found something broken."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(overview("limner data", PURPOSE, VERBS, EXAMPLES))
        return 0
    verb, *rest = arguments
    actions = {"show": show, "check": check, "pack": pack, "build": build}
    if verb not in actions:
        raise InputError(f"`limner data` has no verb {verb!r}: choose one of {', '.join(actions)}")
    return actions[verb](rest)


def show(arguments: list[str]) -> int:
    """``limner data show``."""
    options = parse(Show, "limner data show", SHOW, arguments)
    with standard_output_kept(options.json):
        from limner.data import inspect

        inspect.show(options.source, options.out, options.count, max_pixels=options.max_pixels)
    _report({"source": options.source, "file": str(options.out)}, f"wrote {options.out}", options.json)
    return 0


def check(arguments: list[str]) -> int:
    """``limner data check``; returns 1 when something is broken."""
    options = parse(Check, "limner data check", CHECK, arguments)
    with standard_output_kept(options.json):
        from limner.data import conversation_report, inspect

        if options.path.endswith(".json"):
            report: inspect.DatasetReport = conversation_report.check(
                options.path, options.pictures, max_pixels=options.max_pixels
            )
        elif options.pictures is not None:
            raise InputError(f"--pictures belongs to a JSON file, which '{options.path}' is not: leave it out")
        else:
            report = inspect.check(options.path, max_pixels=options.max_pixels)
    _report(asdict(report), str(report), options.json)
    return 1 if report.broken else 0


def pack(arguments: list[str]) -> int:
    """``limner data pack``."""
    options = parse(Pack, "limner data pack", PACK, arguments)
    with standard_output_kept(options.json):
        from limner.data import inspect

        shards = inspect.pack(
            options.source, options.out, options.shard_size, count=options.count, max_pixels=options.max_pixels
        )
    names = [str(shard) for shard in shards]
    _report({"source": options.source, "shards": names}, f"shards in {options.out}: {len(names)}", options.json)
    return 0


def build(arguments: list[str]) -> int:
    """``limner data build``."""
    options = parse(Build, "limner data build", BUILD, arguments)
    with standard_output_kept(options.json):
        from limner.data import inspect

        count = inspect.build(options.world, options.out, options.count)
    _report(
        {"world": options.world, "folder": str(options.out), "pictures": count},
        f"pictures in {options.out}: {count}",
        options.json,
    )
    return 0


def _report(report: dict[str, Any], sentence: str, json_wanted: bool) -> None:
    if json_wanted:
        print_json(report)
    else:
        print(sentence)
