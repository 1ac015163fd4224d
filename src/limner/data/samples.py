"""The samples of tar shards: which files belong together, which of them is the picture and which the caption.

Every file goes into a sample or is named: a name that stands twice, two pictures of which neither is plain, links, and
files stored with holes are refused, since their samples would be lost or replaced by others.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from limner.data.captions import caption_of, one_line
from limner.data.images import SUFFIXES
from limner.errors import InputError

TEXTS = ("txt", "text", "caption", "captions", "prompt")  # endings of captions


@dataclass
class Sample:
    """One sample: its shard, its key, and where in the shard each of its files lies (ending -> offset, length)."""

    shard: Path
    key: str
    members: dict[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def picture(self) -> str | None:
        """The ending of the picture: the only plain one (``png``), else the only one of two parts (``input.png``)."""
        return _only(self._pictures)

    @property
    def written(self) -> str | None:
        """The ending of the text with the caption, chosen alike: ``txt`` or ``caption``, else ``output.txt``."""
        return _only(self._texts)

    @property
    def _pictures(self) -> list[str]:
        return [ending for ending in self.members if is_picture(ending)]

    @property
    def _texts(self) -> list[str]:
        return [ending for ending in self.members if ending.rpartition(".")[2] in TEXTS]

    @property
    def problem(self) -> str:
        """What keeps it from being a picture with a caption; empty if nothing does."""
        if not self._pictures:
            return "has no picture: pack the shard again"
        for what, endings, one in (("pictures", self._pictures, "png"), ("captions", self._texts, "txt")):
            if endings and _only(endings) is None:
                listed = ", ".join(sorted(endings))
                return f"has {len(endings)} {what} ({listed}): leave one of them, or name only one '{self.key}.{one}'"
        return ""

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
        """From its text, else from ``text`` or ``caption`` in ``.json``, else empty. Raises InputError for bad text."""
        try:
            if self.written is not None:
                return one_line(self.read(self.written).decode("utf-8-sig"))
            return caption_of(self._table())
        except (ValueError, RecursionError) as error:
            raise InputError(f"the caption of {self.where} cannot be read ({error}): pack the shard again") from None

    def label(self) -> int:
        """From ``.cls``, else from ``label`` in ``.json``, else -1. Raises InputError for what is no whole number."""
        try:
            if "cls" in self.members:
                return int(self.read("cls"))
            return int(self._table().get("label", -1))
        except (TypeError, ValueError, RecursionError) as error:
            raise InputError(f"the label of {self.where} cannot be read ({error}): pack the shard again") from None

    def _table(self) -> dict[str, Any]:
        table = json.loads(self.read("json")) if "json" in self.members else {}
        if not isinstance(table, dict):
            raise ValueError("the JSON holds no object")
        return table


def _only(endings: Sequence[str]) -> str | None:
    """The only plain ending, or where none is plain the only one."""
    plain = [ending for ending in endings if "." not in ending] or endings
    return plain[0] if len(plain) == 1 else None


def is_picture(ending: str) -> bool:
    """Is ``png`` or ``depth.png`` the ending of a picture?"""
    return f".{ending.rpartition('.')[2]}" in SUFFIXES


def index_shards(shards: list[Path]) -> tuple[list[Sample], list[str]]:
    """All samples with a picture, in order, and one sentence for everything that is wrong."""
    samples: list[Sample] = []
    problems: list[str] = []
    for shard in shards:
        found: dict[str, Sample] = {}
        try:
            with tarfile.open(shard, "r:") as tar:
                problems += _index(tar, shard, found)
        except (tarfile.TarError, OSError, EOFError, ValueError, OverflowError) as error:
            problems.append(
                f"'{shard}' is no sound tar file ({error}): unpack it if it is compressed, or fetch it again"
            )
        for sample in (part for whole in found.values() for part in _by_name(whole)):
            if sample.problem:
                problems.append(f"'{sample.key}' in '{shard}' {sample.problem}")
            else:
                samples.append(sample)
    if not samples and not problems:
        problems.append(f"'{shards[0]}' holds no sample: check that it was packed from pictures")
    return samples, problems


def _index(tar: tarfile.TarFile, shard: Path, samples: dict[str, Sample]) -> list[str]:
    """Fill in the samples of a shard; what would be lost or read from the wrong place is returned in sentences."""
    end, problems = shard.stat().st_size, []
    for member in tar:
        folder, _, name = member.name.rpartition("/")
        if member.isdir() or name.startswith((".", "__")) or "." not in name:
            continue
        stem, _, ending = name.partition(".")
        key = f"{folder}/{stem}" if folder else stem
        members = samples.setdefault(key, Sample(shard, key)).members
        if not member.isreg() or member.issparse():
            kind = "stored with holes (sparse)" if member.issparse() else "a link or a device"
            problems.append(f"'{member.name}' in '{shard}' is {kind}, no plain file: pack the shard again without")
        elif ending.lower() in members:
            problems.append(f"'{member.name}' stands twice in '{shard}': pack the shard again with names of their own")
        elif member.offset_data + member.size > end:
            raise tarfile.ReadError(f"it ends within {member.name}")
        members.setdefault(ending.lower(), (member.offset_data, member.size))
    with shard.open("rb") as file:  # tarfile takes a cut or garbled header for the end, which is a block of zeros
        file.seek(tar.offset)
        if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError(f"it has no end after {len(samples)} samples")
    return problems


def _by_name(sample: Sample) -> list[Sample]:
    """The samples under one key. Where names have dots ("photo v1.0.png" beside "photo v1.0.txt"), each with a picture
    and a text or table of its own is one; what is left is one together."""
    parts: dict[str, dict[str, tuple[int, int]]] = {}
    for ending, place in sample.members.items():
        stem, _, last = ending.rpartition(".")
        parts.setdefault(stem, {})[last] = place
    own = [stem for stem, part in parts.items() if stem and len(part) > 1 and any(map(is_picture, part))]
    named = {stem: Sample(sample.shard, f"{sample.key}.{stem}", parts[stem]) for stem in own}
    rest: dict[str, tuple[int, int]] = {}
    for ending, place in sample.members.items():
        stem = max((stem for stem in own if ending.startswith(f"{stem}.")), key=len, default="")
        if stem:  # "photo v1.0.depth.png" belongs to "photo v1.0"
            named[stem].members[ending.removeprefix(f"{stem}.")] = place
        else:
            rest[ending] = place
    return [*named.values(), Sample(sample.shard, sample.key, rest)] if rest else list(named.values())
