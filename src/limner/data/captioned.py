"""Captioned pictures as conversations: a request to describe each, and its caption for an answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

from limner.data.conversation_file import ConversationFile
from limner.data.conversations import DESCRIBE, Conversation, Turn
from limner.data.images import MAX_PIXELS, fit
from limner.data.own import Own, open_own
from limner.errors import InputError


class CaptionedPictures:
    """A `limner.data.conversations.Conversations` source.

    Args:
        own: pictures of any size.
        indices: of those with a caption.
        size: pixels of a side.
        mode: ``pad`` with white or ``crop`` to the middle.
    """

    def __init__(self, own: Own, indices: Sequence[int], size: int, mode: str) -> None:
        self.own, self.indices, self.size, self.mode = own, list(indices), size, mode
        self.captions = own.captions

    @classmethod
    def read(cls, path: str | Path, size: int, mode: str, *, max_pixels: int = MAX_PIXELS) -> CaptionedPictures:
        """Those of a folder or of shards; raises `InputError` where none has a caption, and as `open_own`."""
        own = open_own(path, max_pixels=max_pixels)
        captioned = [index for index, caption in enumerate(own.captions) if caption]
        if not captioned:
            raise InputError(f"no picture in {path} has a caption: write it into a .txt of the picture's name")
        return cls(own, captioned, size, mode)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Conversation:
        example = self.own[self.indices[index]]
        turn = Turn(DESCRIBE, example.caption, "caption")
        return Conversation(fit(example.image, self.size, self.mode), (turn,))

    def every_turn(self) -> Iterator[Turn]:
        """The request and the caption of each; no picture is read."""
        return (Turn(DESCRIBE, self.captions[index], "caption") for index in self.indices)

    def first_questions(self) -> Iterator[tuple[str, str, bool]]:
        """Of each picture its name and the request; and that it has a picture."""
        names = self.own.names()
        return ((names[index], DESCRIBE, True) for index in self.indices)

    def only(self, indices: Sequence[int]) -> CaptionedPictures:
        """These pictures."""
        return CaptionedPictures(self.own, [self.indices[index] for index in indices], self.size, self.mode)

    def pictured(self) -> CaptionedPictures:
        """All of them have a picture."""
        return self

    def parted(self, count: int) -> tuple[CaptionedPictures, CaptionedPictures]:
        """All but the last ``count``, and these."""
        edge = len(self) - count
        parts = self.indices[:edge], self.indices[edge:]
        first, last = (CaptionedPictures(self.own, part, self.size, self.mode) for part in parts)
        return first, last


OwnConversations: TypeAlias = ConversationFile | CaptionedPictures


def own_conversations(
    data: str | Path,
    pictures: str | Path | None,
    *,
    size: int,
    fitted: Literal["pad", "crop"] = "pad",
    max_pixels: int = MAX_PIXELS,
) -> OwnConversations:
    """The user's conversations: a JSON file (see `ConversationFile`), or captioned pictures in a folder or in shards.
    Raises `InputError` for what cannot be used."""
    if Path(data).is_dir() or ".tar" in Path(data).name:
        return CaptionedPictures.read(data, size, fitted, max_pixels=max_pixels)
    return ConversationFile.read(data, pictures, size, fitted, max_pixels=max_pixels)
