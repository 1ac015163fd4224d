"""A source some of whose files turn out to be broken when they are read, an hour into a training.

The broken item is named once and left out: the next one that can be read takes its place, on every pass and after every
resume.
"""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar, runtime_checkable

from limner.errors import InputError

NAMED = 20  # broken items that are named; of further ones it is said how many there are by now
ItemT = TypeVar("ItemT")
ItemT_co = TypeVar("ItemT_co", covariant=True)


@runtime_checkable
class Items(Protocol[ItemT_co]):
    """Items by number."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> ItemT_co: ...


class Readable(Generic[ItemT]):
    """The source without its broken items.

    Args:
        source: raises `InputError` for an item that cannot be read.
        notices: where a sentence about each broken item goes.

    Raises `InputError` when no item is left.
    """

    def __init__(self, source: Items[ItemT], notices: list[str]) -> None:
        self.source, self.notices = source, notices
        self.broken: set[int] = set()

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> ItemT:
        count, problem = len(self.source), "it is empty"
        for place in (*range(index, count), *range(min(index, count))):
            if place in self.broken:
                continue
            try:
                return self.source[place]
            except InputError as error:
                problem = str(error)
                self._leave_out(place, problem)
        raise InputError(f"none of {count} items can be read, the last because {problem}")

    def _leave_out(self, place: int, problem: str) -> None:
        self.broken.add(place)
        count = len(self.broken)
        if count <= NAMED:
            self.notices.append(f"left out: {problem}")
        elif count & (count - 1) == 0:
            self.notices.append(f"left out by now: {count} items that cannot be read")


def readable(source: Items[ItemT], notices: list[str]) -> list[ItemT]:
    """All items of a short source that can be read, now; ``notices`` gets a sentence about each of the others."""
    items = []
    for index in range(len(source)):
        try:
            items.append(source[index])
        except InputError as error:
            notices.append(f"left out: {error}")
    return items
