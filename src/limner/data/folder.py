"""A folder of pictures, with captions beside them if there are any."""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from limner.data.images import MAX_PIXELS, SUFFIXES, Size, fit, read_image
from limner.data.source import Example
from limner.errors import InputError

METADATA = "metadata.jsonl"


@dataclass
class Listing:
    """What lies in a folder: pictures by relative path in sorted order, captions, what is wrong, what is neither."""

    pictures: list[str] = field(default_factory=list)
    captions: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)


class Folder:
    """The pictures of a folder and of the folders in it, sorted by path; hidden files are left out.

    A caption is the ``text`` of the picture's line in a ``metadata.jsonl`` (``{"file_name": "a.png", "text": "cat"}``,
    paths relative to that file), else the content of the text file of the same name (``a.txt`` for ``a.png``), else
    empty.

    Args:
        path: the folder.
        size: pixels of a side, or height and width; None leaves pictures as they are.
        mode: ``crop`` to the central part of that shape or ``pad`` with white.
        max_pixels: larger pictures are refused.

    Raises InputError if the folder is missing or holds no picture, or if a caption has no picture or cannot be read;
    a broken picture raises when it is read.
    """

    def __init__(
        self, path: str | Path, size: Size | None = 64, mode: str = "crop", *, max_pixels: int = MAX_PIXELS
    ) -> None:
        self.path, self.size, self.mode, self.max_pixels = Path(path), size, mode, max_pixels
        listing = list_folder(self.path)
        if listing.problems:
            raise InputError(listing.problems[0])
        self.pictures = listing.pictures
        self.captions = [listing.captions.get(picture, "") for picture in self.pictures]
        self.name = self.path.resolve().name

    def __len__(self) -> int:
        return len(self.pictures)

    def fingerprint(self) -> str:
        """Changes when a picture or a caption is added, taken away or changed (by size and time of the file)."""
        stats = [(self.path / picture).stat() for picture in self.pictures]
        rows = list(zip(self.pictures, self.captions, ((s.st_size, s.st_mtime_ns) for s in stats), strict=True))
        return hashlib.blake2b(repr((self.size, self.mode, rows)).encode("utf-8", "surrogateescape")).hexdigest()[:16]

    def __getitem__(self, index: int) -> Example:
        image = read_image(self.path / self.pictures[index], max_pixels=self.max_pixels)
        return Example(image if self.size is None else fit(image, self.size, self.mode), self.captions[index])


def list_folder(path: Path) -> Listing:
    """Finds pictures and captions without opening a picture; what is wrong with captions is listed, not raised.

    Raises InputError if ``path`` is no folder or holds no picture.
    """
    if not path.is_dir():
        raise InputError(f"'{path}' is not a folder: give the path of a folder of pictures")
    listing, files = Listing(), sorted(_walk(path))
    listing.pictures = [file for file in files if Path(file).suffix.lower() in SUFFIXES]
    if not listing.pictures:
        raise InputError(f"'{path}' holds no picture ({', '.join(sorted(SUFFIXES))}): put some there or check the path")
    _read_sidecars(path, [file for file in files if Path(file).suffix.lower() == ".txt"], listing)
    for file in files:
        if posixpath.basename(file) == METADATA:
            _read_metadata(path, file, listing)
        elif Path(file).suffix.lower() not in SUFFIXES | {".txt"}:
            listing.ignored.append(file)
    return listing


def _walk(path: Path) -> Iterator[str]:
    """Relative paths, with slashes, of all files that are not hidden."""
    for folder, folders, files in os.walk(path):
        folders[:] = [name for name in folders if not name.startswith(".")]
        inner = Path(folder).relative_to(path)
        yield from ((inner / name).as_posix() for name in files if not name.startswith("."))


def _read_sidecars(path: Path, texts: list[str], listing: Listing) -> None:
    beside: dict[str, list[str]] = {}
    for picture in listing.pictures:
        beside.setdefault(posixpath.splitext(picture)[0], []).append(picture)
    for text in texts:
        pictures = beside.get(posixpath.splitext(text)[0])
        if pictures is None:
            listing.problems.append(
                f"'{path / text}' is a caption without a picture: put the picture beside it, or take the text away"
            )
            continue
        try:
            caption = " ".join((path / text).read_text(encoding="utf-8-sig").split())
        except (OSError, UnicodeDecodeError) as error:
            listing.problems.append(f"'{path / text}' cannot be read ({error}): save it as UTF-8 text")
            continue
        listing.captions |= dict.fromkeys(pictures, caption)


def _read_metadata(path: Path, file: str, listing: Listing) -> None:
    """The Hugging Face "imagefolder" convention; its captions win over text files."""
    try:
        lines = (path / file).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        listing.problems.append(f"'{path / file}' cannot be read ({error}): save it as UTF-8 text")
        return
    known, named = set(listing.pictures), set()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        problem, picture, caption = _read_line(line, posixpath.dirname(file))
        if not problem and picture not in known:
            problem = f"names '{picture}', which is not there: add the picture or take the line away"
        if not problem and picture in named:
            problem = f"names '{picture}' a second time: take one of the lines away"
        if problem:
            listing.problems.append(f"line {number} of '{path / file}' {problem}")
            continue
        named.add(picture)
        listing.captions[picture] = caption


def _read_line(line: str, folder: str) -> tuple[str, str, str]:
    """What is wrong (empty: nothing), the picture's path and its caption."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        return f"is not JSON ({error}): write one object per line", "", ""
    if not isinstance(row, dict) or not isinstance(row.get("file_name"), str):
        return 'does not name a picture: write {"file_name": "a.png", "text": "a caption"}', "", ""
    if not isinstance(row.get("text", ""), str):
        return 'has a "text" that is no string: put the caption in quotes', "", ""
    picture = posixpath.normpath(posixpath.join(folder, row["file_name"]))
    return "", picture, " ".join(row.get("text", "").split())
