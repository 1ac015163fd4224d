"""Tar shards in the WebDataset convention: files of one sample share the name up to the first dot.

`limner.data.samples` says what belongs together where names have more dots.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
from itertools import product
from pathlib import Path

import numpy as np
from PIL import Image

from limner.data.images import MAX_PIXELS, SUFFIXES, Size, fit, read_image
from limner.data.samples import index_shards
from limner.data.source import Example, Source
from limner.errors import InputError

_PACKED = re.compile(r"\.tar\.\w+$|\.tgz$|\.tbz2$|\.txz$", re.IGNORECASE)  # compressed, or not finished
_BRACE = re.compile(r"\{(\d+)\.\.(\d+)\}|\{([^{}]*,[^{}]*)\}")


class Shards:
    """The samples of tar shards by number; an index of where they lie is built once, by reading headers only.

    Args:
        pattern: a folder, a tar file, a glob (``train-*.tar``) or braces (``train-{000..012}.tar``).
        size: pixels of a side, or height and width; None leaves pictures as they are.
        mode: ``crop`` to the central part of that shape or ``pad`` with white.
        max_pixels: larger pictures are refused.

    Raises InputError if no shard is found, one is missing, compressed or cut short, or a sample has no picture;
    a broken picture raises when it is read.
    """

    def __init__(
        self, pattern: str | Path, size: Size | None = 64, mode: str = "crop", *, max_pixels: int = MAX_PIXELS
    ) -> None:
        self.size, self.mode, self.max_pixels = size, mode, max_pixels
        self.samples, problems = index_shards(find_shards(pattern))
        if problems:
            raise InputError(problems[0])
        self.name = Path(pattern).name

    @property
    def captions(self) -> list[str]:
        """The caption of every sample."""
        return [sample.caption() for sample in self.samples]

    def names(self) -> list[str]:
        """The key of every sample, with the name of its shard."""
        return [f"{sample.shard.name}/{sample.key}" for sample in self.samples]

    def fingerprint(self) -> str:
        """Changes when a shard is added, taken away or changed (by size and time of the file)."""
        shards = dict.fromkeys(sample.shard for sample in self.samples)
        stats = [(shard.name, shard.stat().st_size, shard.stat().st_mtime_ns) for shard in shards]
        whole = repr((self.size, self.mode, stats)).encode("utf-8", "surrogateescape")
        return hashlib.blake2b(whole).hexdigest()[:16]

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
        here = _shards_in(path) if path.is_dir() else here
        if not here:
            raise InputError(
                f"'{name}' names no tar file: give a folder, a path, a glob or braces like a-{{000..012}}.tar"
            )
        found += here
    if not found:
        raise InputError(f"'{pattern}' counts downwards: write the smaller number first, as in a-{{000..012}}.tar")
    return found


def _shards_in(folder: Path) -> list[Path]:
    """The shards of a folder; raises InputError where it holds others that would be passed over."""
    shards = sorted(folder.glob("*.tar"))
    passed = [file for file in sorted(folder.iterdir()) if _PACKED.search(file.name) or file.suffix.lower() in SUFFIXES]
    if shards and passed:
        raise InputError(
            f"'{folder}' holds shards and '{passed[0].name}', which would be passed over: unpack it, pack it again, or "
            "move it elsewhere"
        )
    return shards


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
