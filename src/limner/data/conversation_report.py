"""What a file of conversations holds: `limner data check FILE.json --pictures FOLDER` reads all rows and pictures."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from limner.data.conversation_file import folder_of, list_conversations, missing
from limner.data.images import MAX_PIXELS, Picture, read_picture
from limner.data.inspect import DatasetReport, tally


@dataclass
class ConversationReport(DatasetReport):
    """What ``check`` found: ``rows`` are sound but for their pictures, ``alone`` of them have none, ``answers`` are to
    be learned; ``pictures`` counts sound pictures once, however many rows show them; ``uncaptioned`` ones are left out.
    """

    rows: int = 0
    alone: int = 0
    answers: int = 0
    uncaptioned: int = 0

    def contents(self) -> str:
        """How much there is."""
        left = f", {self.uncaptioned} pictures without a caption left out" if self.uncaptioned else ""
        return (
            f"{self.rows} sound rows, {self.alone} of them without a picture, {self.answers} answers to learn, "
            f"{self.pictures} sound pictures{left}"
        )


def check(file: str | Path, pictures: str | Path | None = None, *, max_pixels: int = MAX_PIXELS) -> ConversationReport:
    """Reads every row and decodes every picture.

    Raises `InputError` if the file cannot be read, is of no known format, or the folder of pictures is none; what is
    broken inside is reported, not raised.
    """
    folder, listing = folder_of(file, pictures), list_conversations(file)
    report = ConversationReport(
        str(file),
        listing.kind,
        rows=len(listing.rows),
        alone=sum(row.picture is None for row in listing.rows),
        answers=sum(len(row.turns) for row in listing.rows),
        uncaptioned=listing.uncaptioned,
    )
    pictured = dict.fromkeys(row.picture for row in listing.rows if row.picture is not None)
    there = [folder / picture for picture in pictured if (folder / picture).is_file()]
    problems = listing.problems + missing(listing.rows, folder, file)
    tally(report, [partial(_read, path, max_pixels) for path in there], problems)
    return report


def _read(path: Path, max_pixels: int) -> tuple[Picture, str]:
    return read_picture(path, max_pixels=max_pixels), ""
