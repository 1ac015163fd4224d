"""Conversations in files: text in one JSON file, pictures in a folder, each read when its item is.

    source = ConversationFile.read("llava_instruct.json", "coco/train2017", size=336)
    source = ConversationFile.read("captions_train2017.json", "coco/train2017", size=336)

Two formats are read and distinguished by their content: LLaVA's (`limner.data.llava`) and COCO's captions
(`limner.data.coco`). Everything but the pixels is checked before the first conversation.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from limner.data import coco, llava
from limner.data.conversations import Conversation, Conversations, Turn, Written
from limner.data.images import MAX_PIXELS, fit, read_image
from limner.data.readable import Readable
from limner.data.rows import ConversationRow
from limner.errors import InputError

ENDLESS = 1 << 40


class ConversationListing(NamedTuple):
    """What a file of conversations holds: its format, sound rows, what is wrong with the others, and how many pictures
    are left out for want of a caption."""

    kind: str
    rows: list[ConversationRow]
    problems: list[str]
    uncaptioned: int = 0


class ConversationFile:
    """A `limner.data.conversations.Conversations` source.

    Args:
        rows: of the file.
        pictures: folder that the rows' paths start from.
        size: pixels of a side; None leaves pictures as they are.
        mode: ``crop`` to the central square, or ``pad`` with white, which keeps what stands at the edges.
        max_pixels: larger pictures are refused.

    A broken picture raises `InputError` when its item is read.
    """

    def __init__(
        self,
        rows: Sequence[ConversationRow],
        pictures: Path,
        size: int | None,
        mode: str = "pad",
        *,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        self.rows, self.pictures, self.size, self.mode = rows, pictures, size, mode
        self.max_pixels = max_pixels

    @classmethod
    def read(
        cls,
        file: str | Path,
        pictures: str | Path | None,
        size: int | None,
        mode: str = "pad",
        *,
        max_pixels: int = MAX_PIXELS,
    ) -> ConversationFile:
        """A file's conversations; raises `InputError` naming its first unsound row, if there is one, or the first
        picture that is not there. ``pictures`` None: paths start from the file's own folder."""
        folder = folder_of(file, pictures)
        listing = list_conversations(file)
        if problems := listing.problems or missing(listing.rows, folder, file):
            raise InputError(problems[0])
        if not listing.rows:
            raise InputError(f"'{file}' holds no conversation: give a file with rows in it")
        return cls(listing.rows, folder, size, mode, max_pixels=max_pixels)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Conversation:
        row = self.rows[index]
        if row.picture is None:
            return Conversation(None, row.turns, row.apart)
        image = read_image(self.pictures / row.picture, max_pixels=self.max_pixels)
        fitted = image if self.size is None else fit(image, self.size, self.mode)
        return Conversation(fitted, row.turns, row.apart)

    def every_turn(self) -> Iterator[Turn]:
        """The turns of all rows; no picture is read."""
        return (turn for row in self.rows for turn in row.turns)

    def first_questions(self) -> Iterator[tuple[str, str, bool]]:
        """Of each row its name, its first question, and whether it has a picture."""
        return ((row.name, row.turns[0].question, row.picture is not None) for row in self.rows)

    def only(self, indices: Sequence[int]) -> ConversationFile:
        """These conversations."""
        return self._of([self.rows[index] for index in indices])

    def pictured(self) -> ConversationFile:
        """The conversations that have a picture."""
        return self._of([row for row in self.rows if row.picture is not None])

    def parted(self, count: int) -> tuple[ConversationFile, ConversationFile]:
        """All but the last ``count`` conversations, and these."""
        edge = len(self.rows) - count
        return self._of(self.rows[:edge]), self._of(self.rows[edge:])

    def _of(self, rows: Sequence[ConversationRow]) -> ConversationFile:
        return ConversationFile(rows, self.pictures, self.size, self.mode, max_pixels=self.max_pixels)


class Reshuffled:
    """A source that goes on forever: all its conversations in random order, then all in another.

    Args:
        source: of as many conversations as there are.
        seed: of the orders.
        notices: where a sentence about each conversation goes whose picture turns out to be broken; it is left out.
            None: it raises `InputError`.
    """

    def __init__(self, source: Conversations, seed: int, notices: list[str] | None = None) -> None:
        self.source, self.seed = source, seed
        self._readable = source if notices is None else Readable(source, notices)
        self._order: tuple[int, np.ndarray] = (-1, np.zeros(0, dtype=np.int64))

    def __len__(self) -> int:
        return ENDLESS

    def every_turn(self) -> Iterable[Turn]:
        """The turns of all conversations; no picture is read where the source knows them."""
        if isinstance(self.source, Written):
            return self.source.every_turn()
        return (turn for index in range(len(self.source)) for turn in self.source[index].turns)

    def __getitem__(self, index: int) -> Conversation:
        epoch, place = divmod(index, len(self.source))
        if self._order[0] != epoch:
            self._order = epoch, np.random.default_rng((self.seed, epoch)).permutation(len(self.source))
        return self._readable[int(self._order[1][place])]


def list_conversations(file: str | Path) -> ConversationListing:
    """Rows of a file, and what is wrong with the others, opening no picture.

    Raises `InputError` if the file cannot be read or is of neither format.
    """
    content = _parsed(Path(file))
    if isinstance(content, list):
        rows, problems = llava.rows(content, str(file))
        return ConversationListing("LLaVA conversations", rows, problems)
    if isinstance(content, dict) and {"images", "annotations"} <= content.keys():
        rows, problems = coco.rows(content, str(file))
        return ConversationListing("COCO captions", rows, problems, coco.uncaptioned(content))
    raise InputError(
        f"'{file}' is neither a list of LLaVA conversations nor COCO captions: write "
        '[{"id": ..., "image": ..., "conversations": [...]}, ...], or {"images": [...], "annotations": [...]}'
    )


def missing(rows: Sequence[ConversationRow], folder: Path, file: str | Path) -> list[str]:
    """A sentence for every row whose picture is not in the folder."""
    there: dict[str, bool] = {}
    for row in rows:
        if row.picture is not None and row.picture not in there:
            there[row.picture] = (folder / row.picture).is_file()
    return [
        f"{row.name} of '{file}' shows '{row.picture}', which is not in '{folder}': add it, or give "
        "the folder that it is in"
        for row in rows
        if row.picture is not None and not there[row.picture]
    ]


def folder_of(file: str | Path, pictures: str | Path | None) -> Path:
    """Where pictures are looked for; raises `InputError` if that is no folder."""
    folder = Path(file).parent if pictures is None else Path(pictures)
    if not folder.is_dir():
        raise InputError(f"'{folder}' is not a folder: give the one that the pictures of '{file}' are in")
    return folder


def _parsed(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"'{file}' cannot be read ({error.strerror}): give a JSON file of conversations") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"'{file}' is not JSON ({error}): fetch or export it again") from None
