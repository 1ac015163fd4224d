"""A folder of pictures, with captions beside them if there are any."""

from __future__ import annotations

import hashlib
import os
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from limner.data.captions import caption_of, one_line
from limner.data.images import MAX_PIXELS, SUFFIXES, Size, fit, read_image
from limner.data.lines import read_lines
from limner.data.source import Example
from limner.errors import InputError

METADATA = "metadata.jsonl"
OTHER_METADATA = (
    "metadata.csv",
    "metadata.parquet",
    "metadata.json",
    "captions.json",
    "captions.jsonl",
    "captions.csv",
)
CAPTIONED = frozenset({".txt", ".caption"})  # endings of files with captions


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
    paths relative to that file; ``caption`` does as well), else the content of the text file of the same name
    (``a.txt`` or ``a.caption`` for ``a.png``), else empty.

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

    def names(self) -> list[str]:
        """The relative path of every picture."""
        return self.pictures

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
    listing = Listing()
    files = sorted(_walk(path, listing))
    listing.pictures = [file for file in files if Path(file).suffix.lower() in SUFFIXES]
    if not listing.pictures:
        raise InputError(f"'{path}' holds no picture ({', '.join(sorted(SUFFIXES))}): put some there or check the path")
    _read_sidecars(path, [file for file in files if Path(file).suffix.lower() in CAPTIONED], listing)
    for file in files:
        if posixpath.basename(file) == METADATA:
            _read_metadata(path, file, listing)
        elif Path(file).name.lower() in OTHER_METADATA:
            listing.problems.append(f"'{path / file}' is not read: write its captions as {METADATA}, or take it away")
        elif Path(file).suffix.lower() == ".tar":
            listing.problems.append(f"'{path / file}' is a shard among pictures: give one or the other")
        elif Path(file).suffix.lower() not in SUFFIXES | CAPTIONED:
            listing.ignored.append(file)
    return listing


def _walk(path: Path, listing: Listing) -> Iterator[str]:
    """Relative paths, with slashes, of all files that are not hidden; folders that cannot be entered are problems."""

    def unread(error: OSError) -> None:
        listing.problems.append(f"'{error.filename}' cannot be entered ({error.strerror}): check its permissions")

    for folder, folders, files in os.walk(path, onerror=unread):
        inner = Path(folder).relative_to(path)
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in folders:
            if Path(folder, name).is_symlink():
                link = path / inner / name
                listing.problems.append(f"'{link}' is a link to a folder, which is not followed: give that folder")
        yield from ((inner / name).as_posix() for name in files if not name.startswith("."))


def _read_sidecars(path: Path, texts: list[str], listing: Listing) -> None:
    """Captions beside pictures: ``a.txt`` or ``a.caption`` for ``a.png``; ``a.png.txt`` too."""
    beside: dict[str, list[str]] = {}
    for picture in listing.pictures:
        beside.setdefault(posixpath.splitext(picture)[0], []).append(picture)
        beside.setdefault(picture, []).append(picture)
    for text in texts:
        pictures = beside.get(posixpath.splitext(text)[0])
        if pictures is None:
            listing.problems.append(
                f"'{path / text}' is a caption without a picture: put the picture beside it, or take the text away"
            )
        elif any(picture in listing.captions for picture in pictures):
            listing.problems.append(f"'{path / text}' is a second caption of '{pictures[0]}': take one of them away")
        else:
            try:
                caption = one_line((path / text).read_text(encoding="utf-8-sig"))
            except (OSError, ValueError) as error:
                listing.problems.append(f"'{path / text}' cannot be read ({error}): save it as UTF-8 text")
                continue
            listing.captions |= dict.fromkeys(pictures, caption)


def _read_metadata(path: Path, file: str, listing: Listing) -> None:
    """The Hugging Face "imagefolder" convention; its captions win over text files."""
    known, named = set(listing.pictures), set()
    try:
        lines = list(read_lines(path / file))
    except InputError as error:
        listing.problems.append(str(error))
        return
    for line in lines:
        problem, picture, caption = line.problem, "", ""
        if line.row is not None:
            problem, picture, caption = _read_row(line.row, posixpath.dirname(file))
        if not problem and picture not in known:
            problem = f"names '{picture}', which is not there: add the picture or take the line away"
        if not problem and picture in named:
            problem = f"names '{picture}' a second time: take one of the lines away"
        if problem:
            listing.problems.append(f"line {line.number} of '{path / file}' {problem}")
            continue
        named.add(picture)
        listing.captions[picture] = caption or listing.captions.get(picture, "")


def _read_row(row: dict[str, Any], folder: str) -> tuple[str, str, str]:
    """What is wrong (empty: nothing), the picture's path and its caption."""
    if not isinstance(row.get("file_name"), str):
        return 'does not name a picture: write {"file_name": "a.png", "text": "a caption"}', "", ""
    try:
        caption = caption_of(row)
    except ValueError as error:
        return f"has no caption that can be read: {error}", "", ""
    return "", posixpath.normpath(posixpath.join(folder, row["file_name"])), caption
