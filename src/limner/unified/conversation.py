"""Conversations about pictures as rows of a language model.

    row       [picture] question answer [end] question answer [end] ...
    learned   answers and their ends; nothing else

Turns that stand apart are branches (`limner.unified.segments`): they share the picture and do not see each other. Turns
of a dialogue are one text. A row without a picture begins with its first question.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from limner.data.conversations import Conversation, Turn
from limner.errors import InputError
from limner.unified.segments import Packed, Segment, lay_out


@runtime_checkable
class TextVocabulary(Protocol):
    """Texts to subwords and back."""

    def end(self) -> int:
        """The subword that ends an answer."""

    def ids(self, text: str) -> list[int]: ...

    def prompt_ids(self, question: str) -> list[int]:
        """A question as a prompt; a chat model's stands between its special tokens of roles."""

    def text(self, ids: Sequence[int]) -> str: ...

    def word(self, row: int) -> str:
        """A subword as people spell it."""


def pack(
    rows: Sequence[Sequence[Turn]],
    vocabulary: TextVocabulary,
    patches: int,
    *,
    apart: bool = True,
    length: int | None = None,
) -> Packed:
    """Rows of turns about one picture each, padded to the longest.

    Args:
        rows: turns; the last turn of a row may lack its answer.
        vocabulary: of the language model.
        patches: tokens of the picture; 0 for rows without one.
        apart: turns do not see each other.
        length: most tokens of a row; longer rows lose whole turns from their end, and of the first its answer's end.

    Raises `InputError` if a picture with its first question is longer than ``length``.
    """
    return lay_out([segments_of(turns, vocabulary, patches, apart=apart, length=length) for turns in rows])


def pack_conversations(
    conversations: Sequence[Conversation], vocabulary: TextVocabulary, patches: int, *, length: int | None = None
) -> Packed:
    """Conversations, some about a picture of so many ``patches`` and some about none; otherwise as `pack`."""
    return lay_out(
        [
            segments_of(one.turns, vocabulary, patches if one.image is not None else 0, apart=one.apart, length=length)
            for one in conversations
        ]
    )


def segments_of(
    turns: Sequence[Turn], vocabulary: TextVocabulary, patches: int, *, apart: bool = True, length: int | None = None
) -> list[Segment]:
    """The segments of one row; arguments and errors as those of `pack`."""
    row = [Segment("seen", length=patches, rule="full")] if patches else []
    count = patches
    for number, turn in enumerate(turns, 1):
        branch = number if apart else 0
        question = vocabulary.prompt_ids(turn.question)
        answer = [*vocabulary.ids(turn.answer), vocabulary.end()] if turn.answer else []
        if length is not None and count + len(question) + len(answer) > length:
            if number > 1:
                break
            answer = answer[: max(length - patches - len(question), 0)]
            if not answer:
                raise InputError(
                    f"a picture of {patches} tokens and {turn.question[:40]!r} make {patches + len(question)} tokens, "
                    f"but there is room for {length}, with the answer: ask for less, or allow more"
                )
        row.append(Segment("text", question, branch=branch))
        if answer:
            row.append(Segment("text", answer, learned=True, branch=branch))
        count += len(question) + len(answer)
    return row
