"""The verbs of ``limner data``: check what a data set holds, show it, pack it into shards, build it as a folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

from limner.data.digits import Digits
from limner.data.emoji import Emoji
from limner.data.folder import METADATA, list_folder
from limner.data.glyphs import Glyphs
from limner.data.images import MAX_PIXELS, Picture, read_picture
from limner.data.lines import write_rows
from limner.data.own import names_shards, open_own
from limner.data.photos import Photos
from limner.data.samples import Sample, index_shards
from limner.data.scenes import Scenes
from limner.data.shards import encode_image, find_shards, write_shards
from limner.data.source import Example, Source
from limner.errors import InputError
from limner.pictures import few, grid, save

WORLDS = ("emoji", "scenes", "digits", "glyphs", "photos")
ENDLESS = 100_000  # a world with more examples is drawn on demand; packed or built without a count, it gives
FROM_ENDLESS = 1_000  # this many


@dataclass
class DatasetReport:
    """What ``check`` found.

    ``pictures`` are sound, ``broken`` counts files and captions that are not; ``first`` says which broken one comes
    first, why, and how to mend it. ``formats`` and ``sizes`` (such as "640x480") count sound pictures, the most
    frequent first.
    """

    path: str
    kind: str
    pictures: int = 0
    captioned: int = 0
    broken: int = 0
    first: str = ""
    formats: dict[str, int] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    smallest: int = 0  # shortest side, pixels
    largest: int = 0  # longest side, pixels
    ignored: int = 0

    def __str__(self) -> str:
        formats = ", ".join(f"{count} {name}" for name, count in self.formats.items())
        lines = [f"{self.path}: {self.kind} with {self.contents()}"]
        if self.pictures:
            common = next(iter(self.sizes))
            lines.append(f"formats: {formats}")
            lines.append(f"sides: {self.smallest} to {self.largest} pixels, most often {common}")
        if self.ignored:
            lines.append(f"left out: {self.ignored} files that are neither pictures nor captions")
        lines.append(f"broken: {self.broken}; first: {self.first}" if self.broken else "nothing is broken")
        return "\n".join(lines)

    def contents(self) -> str:
        """How much there is."""
        return f"{self.pictures} sound pictures, {self.captioned} of them with a caption"


def check(path: str | Path, *, max_pixels: int = MAX_PIXELS) -> DatasetReport:
    """Decodes every picture of a folder or of shards and reads every caption and label.

    Raises InputError if there is nothing at ``path``; what is broken inside is reported, not raised.
    """
    if names_shards(path):
        samples, problems = index_shards(find_shards(path))
        report = DatasetReport(str(path), "shards")
        reads = [partial(_read_sample, sample, max_pixels) for sample in samples]
    else:
        listing = list_folder(Path(path))
        report, problems = DatasetReport(str(path), "folder", ignored=len(listing.ignored)), listing.problems
        captions = listing.captions
        reads = [
            partial(_read_file, Path(path) / file, captions.get(file, ""), max_pixels) for file in listing.pictures
        ]
    tally(report, reads, problems)
    return report


def tally(report: DatasetReport, reads: Iterable[Callable[[], tuple[Picture, str]]], problems: list[str]) -> None:
    """Read pictures with their captions and put down what they are, and what is broken beside ``problems``."""
    formats: Counter[str] = Counter()
    sizes: Counter[tuple[int, int]] = Counter()
    for read in reads:
        try:
            picture, caption = read()
        except InputError as error:
            problems.append(str(error))
            continue
        report.captioned += caption != ""
        formats[picture.format] += 1
        sizes[picture.pixels.shape[1], picture.pixels.shape[0]] += 1
    report.pictures, report.broken, report.first = formats.total(), len(problems), (problems or [""])[0]
    report.formats = dict(formats.most_common())
    report.sizes = {f"{width}x{height}": count for (width, height), count in sizes.most_common()}
    report.smallest, report.largest = min(map(min, sizes), default=0), max(map(max, sizes), default=0)


def _read_file(path: Path, caption: str, max_pixels: int) -> tuple[Picture, str]:
    return read_picture(path, max_pixels=max_pixels), caption


def _read_sample(sample: Sample, max_pixels: int) -> tuple[Picture, str]:
    sample.label()
    return read_picture(sample.read(sample.picture or ""), max_pixels=max_pixels, name=sample.where), sample.caption()


def open_source(name: str | Path, *, max_pixels: int = MAX_PIXELS) -> Source:
    """The data set that a word means on the command line: one of ``WORLDS`` (all of it), a folder of pictures, or
    shards (a folder, a path, a glob or braces). Pictures from files keep their size.

    Raises InputError if it is none of these.
    """
    match str(name):
        case "emoji":
            return cast(Source, Emoji("all"))  # whose ``name`` is that of an emoji
        case "scenes":
            return Scenes()
        case "digits":
            return Digits("all")
        case "glyphs":
            return Glyphs("all")
        case "photos":
            return Photos("all")
    if not names_shards(name) and not Path(name).is_dir():
        raise InputError(
            f"'{name}' is no data set: give one of {', '.join(WORLDS)}, a folder of pictures or tar shards"
        )
    return open_own(name, max_pixels=max_pixels)


def show(source: Source | str | Path, path: str | Path, count: int = 64, *, max_pixels: int = MAX_PIXELS) -> None:
    """Writes a contact sheet: ``count`` pictures spread evenly over the data set, with captions.

    Raises InputError for what ``open_source`` refuses, a count below 1, or a file that cannot be written.
    """
    opened = open_source(source, max_pixels=max_pixels) if isinstance(source, str | Path) else source
    if count < 1:
        raise InputError(f"a contact sheet cannot show {count} pictures: ask for at least 1")
    examples = [opened[index] for index in few(len(opened), count)]
    columns = 4 if len(examples) <= 16 else 8
    page = grid([example.image for example in examples], columns, [example.caption for example in examples], cell=112)
    save(page, Path(path))


def pack(
    source: Source | str | Path,
    directory: str | Path,
    shard_size: int = 1000,
    *,
    kind: str = "png",
    count: int | None = None,
    max_pixels: int = MAX_PIXELS,
) -> list[Path]:
    """Writes a data set as tar shards (see ``write_shards``) and returns their paths; the first 1,000 examples, if it
    is a world drawn on demand and ``count`` is not given.

    Raises InputError for what ``open_source`` and ``write_shards`` refuse.
    """
    opened = open_source(source, max_pixels=max_pixels) if isinstance(source, str | Path) else source
    return write_shards(opened, directory, shard_size, kind=kind, count=_how_many(opened, count))


def build(name: str, directory: str | Path, count: int | None = None) -> int:
    """Writes one of limner's worlds as a folder of PNGs with a ``metadata.jsonl`` and returns the number of pictures;
    of a world drawn on demand the first 1,000, if ``count`` is not given.

    Raises InputError for another name, or if the directory is not empty or cannot be written.
    """
    if name not in WORLDS:
        raise InputError(f"limner has no world {name!r}: choose one of {', '.join(WORLDS)}")
    source, directory = open_source(name), Path(directory)
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise InputError(f"'{directory}' is not an empty folder: choose another place")
    many = _how_many(source, count)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        write_rows(directory / METADATA, [_write(directory, index, source[index]) for index in range(many)])
    except OSError as error:
        raise InputError(f"'{directory}' cannot be written ({error.strerror or error}): choose another place") from None
    return many


def _how_many(source: Source, count: int | None) -> int:
    if count is not None:
        return min(count, len(source))
    return len(source) if len(source) <= ENDLESS else FROM_ENDLESS


def _write(directory: Path, index: int, example: Example) -> dict[str, Any]:
    """Writes one picture and returns its row of metadata."""
    file = f"{index:06d}.png"
    (directory / file).write_bytes(encode_image(example.image))
    return {"file_name": file, "text": example.caption, "label": example.label}
