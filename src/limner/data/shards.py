"""Tar shards in the WebDataset convention: files of one sample share the name up to the first dot."""

from __future__ import annotations

import io
import json
import re
import tarfile
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from limner.data.images import MAX_PIXELS, SUFFIXES, fit, read_image
from limner.data.source import Example, Source
from limner.errors import InputError

_BRACE = re.compile(r"\{(\d+)\.\.(\d+)\}|\{([^{}]*,[^{}]*)\}")


@dataclass
class Sample:
    """One sample: its shard, its key, and where in the shard each of its files lies (ending -> offset, length)."""

    shard: Path
    key: str
    members: dict[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def picture(self) -> str | None:
        """The ending of the picture among the files, if there is one."""
        return next((ending for ending in self.members if f".{ending.rpartition('.')[2]}" in SUFFIXES), None)

    @property
    def where(self) -> str:
        """For messages: the picture and the shard that holds it."""
        return f"'{self.key}.{self.picture}' in '{self.shard}'"

    def read(self, ending: str) -> bytes:
        """The content of one file."""
        offset, length = self.members[ending]
        try:
            with self.shard.open("rb") as file:
                file.seek(offset)
                return file.read(length)
        except OSError as error:
            raise InputError(f"'{self.shard}' cannot be read any more ({error.strerror}): put it back") from None

    def caption(self) -> str:
        """From ``.txt``, else from ``text`` or ``caption`` in ``.json``, else empty. Raises InputError for bad text."""
        try:
            if "txt" in self.members:
                return " ".join(self.read("txt").decode("utf-8-sig").split())
            table = self._table()
            return " ".join(str(table.get("text", table.get("caption", ""))).split())
        except (ValueError, RecursionError) as error:
            raise InputError(f"the caption of {self.where} cannot be read ({error}): pack the shard again") from None

    def label(self) -> int:
        """From ``.cls``, else from ``label`` in ``.json``, else -1. Raises InputError for what is no whole number."""
        try:
            return int(self.read("cls")) if "cls" in self.members else int(self._table().get("label", -1))
        except (TypeError, ValueError, RecursionError) as error:
            raise InputError(f"the label of {self.where} cannot be read ({error}): pack the shard again") from None

    def _table(self) -> dict[str, Any]:
        table = json.loads(self.read("json")) if "json" in self.members else {}
        if not isinstance(table, dict):
            raise ValueError("the JSON holds no object")
        return table


class Shards:
    """The samples of tar shards by number; an index of where they lie is built once, by reading headers only.

    Args:
        pattern: a folder, a tar file, a glob (``train-*.tar``) or braces (``train-{000..012}.tar``).
        size: pixels of a side; None leaves pictures as they are.
        mode: ``crop`` to the central square or ``pad`` with white.
        max_pixels: larger pictures are refused.

    Raises InputError if no shard is found, one is missing, compressed or cut short, or a sample has no picture;
    a broken picture raises when it is read.
    """

    def __init__(
        self, pattern: str | Path, size: int | None = 64, mode: str = "crop", *, max_pixels: int = MAX_PIXELS
    ) -> None:
        self.size, self.mode, self.max_pixels = size, mode, max_pixels
        self.samples, problems = index_shards(find_shards(pattern))
        if problems:
            raise InputError(problems[0])
        self.name = Path(pattern).name

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Example:
        sample = self.samples[index]
        image = read_image(sample.read(sample.picture or ""), max_pixels=self.max_pixels, name=sample.where)
        image = image if self.size is None else fit(image, self.size, self.mode)
        return Example(image, sample.caption(), sample.label())


def find_shards(pattern: str | Path) -> list[Path]:
    """The tar files that a folder, path, glob or brace pattern names, sorted within each pattern.

    Raises InputError if there is none, or if one that the braces name is missing.
    """
    found: list[Path] = []
    for name in _expand(str(pattern)):
        path = Path(name)
        anchor = Path(path.anchor)
        here = [path] if path.is_file() else sorted(anchor.glob(str(path.relative_to(anchor))))
        here = sorted(path.glob("*.tar")) if path.is_dir() else here
        if not here:
            raise InputError(
                f"'{name}' names no tar file: give a folder, a path, a glob or braces like a-{{000..012}}.tar"
            )
        found += here
    if not found:
        raise InputError(f"'{pattern}' counts downwards: write the smaller number first, as in a-{{000..012}}.tar")
    return found


def _expand(pattern: str) -> list[str]:
    """``a-{08..10}`` is a-08, a-09, a-10; ``{a,b}`` is a, b."""
    parts, at = [], 0
    for match in _BRACE.finditer(pattern):
        first, last, choices = match.groups()
        width = len(first or "")
        numbers = [str(number).zfill(width) for number in range(int(first), int(last) + 1)] if first else []
        parts += [[pattern[at : match.start()]], choices.split(",") if choices else numbers]
        at = match.end()
    return ["".join(choice) for choice in product(*parts, [pattern[at:]])]


def index_shards(shards: list[Path]) -> tuple[list[Sample], list[str]]:
    """All samples that have a picture, in order, and one sentence for everything that is wrong."""
    samples: list[Sample] = []
    problems: list[str] = []
    for shard in shards:
        found: list[Sample] = []
        try:
            with tarfile.open(shard, "r:") as tar:
                _index(tar, shard, found)
        except (tarfile.TarError, OSError, EOFError, ValueError, OverflowError) as error:
            problems.append(
                f"'{shard}' is no sound tar file ({error}): unpack it if it is compressed, or fetch it again"
            )
        for sample in found:
            if sample.picture is None:
                problems.append(f"'{sample.key}' in '{shard}' has no picture: pack the shard again")
        samples += [sample for sample in found if sample.picture is not None]
    if not samples and not problems:
        problems.append(f"'{shards[0]}' holds no sample: check that it was packed from pictures")
    return samples, problems


def _index(tar: tarfile.TarFile, shard: Path, samples: list[Sample]) -> None:
    end = shard.stat().st_size
    for member in tar:
        folder, _, name = member.name.rpartition("/")
        if not member.isreg() or name.startswith((".", "__")) or "." not in name:
            continue
        if member.offset_data + member.size > end:
            raise tarfile.ReadError(f"it ends within {member.name}")
        stem, _, ending = name.partition(".")
        key = f"{folder}/{stem}" if folder else stem
        if not samples or samples[-1].key != key:
            samples.append(Sample(shard, key))
        samples[-1].members[ending.lower()] = (member.offset_data, member.size)
    with shard.open("rb") as file:  # tarfile takes a cut or garbled header for the end, which is a block of zeros
        file.seek(tar.offset)
        if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError(f"it has no end after {len(samples)} samples")


def write_shards(
    source: Source, directory: str | Path, shard_size: int = 1000, *, kind: str = "png", count: int | None = None
) -> list[Path]:
    """Packs the first ``count`` examples (all, if not given) as NAME-000000.tar and so on; the same source makes the
    same bytes.

    A sample has ``.png`` or ``.webp`` (both lossless), ``.txt`` (caption) and ``.json`` (index, label). Each shard
    is written aside and renamed when complete. Raises InputError if the directory already holds shards or cannot be
    written, or if ``kind`` or ``shard_size`` is impossible.
    """
    if kind not in ("png", "webp") or shard_size < 1:
        raise InputError(f"shards of {shard_size} {kind!r} pictures cannot be packed: use png or webp, and 1 or more")
    directory, count = Path(directory), len(source) if count is None else min(count, len(source))
    if directory.exists() and (not directory.is_dir() or any(directory.glob("*.tar"))):
        raise InputError(f"'{directory}' already holds shards or is a file: choose an empty folder")
    written = []
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for start in range(0, count, shard_size):
            shard = directory / f"shard-{start // shard_size:06d}.tar"
            aside = shard.with_suffix(".tar.part")
            with tarfile.open(aside, "w", format=tarfile.PAX_FORMAT) as tar:
                for index in range(start, min(start + shard_size, count)):
                    _add_sample(tar, index, source[index], kind)
            aside.replace(shard)
            written.append(shard)
    except OSError as error:
        raise InputError(f"'{directory}' cannot be written ({error.strerror or error}): choose another place") from None
    return written


def _add_sample(tar: tarfile.TarFile, index: int, example: Example, kind: str) -> None:
    contents = {
        kind: encode_image(example.image, kind),
        "txt": example.caption.encode(),
        "json": json.dumps({"index": index, "label": example.label}).encode(),
    }
    for ending, content in contents.items():
        member = tarfile.TarInfo(f"{index:09d}.{ending}")
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))


def encode_image(image: np.ndarray, kind: str = "png") -> bytes:
    """``[h, w, 3]`` uint8 as a lossless PNG or WebP file."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind.upper(), **({"lossless": True} if kind == "webp" else {}))
    return file.getvalue()
