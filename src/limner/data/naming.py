"""What people write, as the captions of limner's worlds say it: emoji characters and names in other languages become
English names, and words that no caption has are known for what they are.

    read("a ❤ left of a ⭐")  ->  "a red heart left of a star"         read("rotes Herz"), read("红心")  ->  "red heart"

A text whose words are all known is left as it is. The names are Unicode's (CLDR), in 14 languages.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple, Protocol, runtime_checkable

GRAMMAR = "a an the and of on in at to is are there one thing things near background gradient with"
SUGGESTED = 3
_WORD = re.compile(r"[^\W_]+(?:[-'’.][^\W_]+)*")
_TONES = dict.fromkeys((*range(0x1F3FB, 0x1F400), 0xFE0F))  # of skin, and the sign that asks for colour


@runtime_checkable
class Naming(Protocol):
    """How the captions of a model's data name things."""

    def read(self, text: str) -> str:
        """A prompt as a caption says it."""

    def unseen(self, text: str) -> list[str]:
        """Words of a prompt that no caption has."""

    def alike(self, word: str) -> list[str]:
        """What captions do name that is like this word."""


@dataclass(frozen=True)
class OwnCaptions:
    """Captions of somebody's own: a prompt is what it is, and what was in them is not kept."""

    def read(self, text: str) -> str:
        return text

    def unseen(self, text: str) -> list[str]:
        return []

    def alike(self, word: str) -> list[str]:
        return []


AS_WRITTEN: Naming = OwnCaptions()


@dataclass(frozen=True)
class Worlds:
    """Emoji by name, and scenes of shapes."""

    def read(self, text: str) -> str:
        """With characters of emoji as their names; and if a word of it is not known but all of it is a name in another
        language, as the English one."""
        text = _spelled(text)
        if not self.unseen(text):
            return text
        return _names().foreign.get(_plain(text), text)

    def unseen(self, text: str) -> list[str]:
        """Words of a prompt, as it is read, that no caption has."""
        words = _names().words
        return list(dict.fromkeys(word for word in _words(text) if word not in words))

    def alike(self, word: str) -> list[str]:
        """Names of emoji that hold a word spelled nearly so, the shortest first."""
        near = difflib.get_close_matches(word.casefold(), _names().words, SUGGESTED, 0.75)
        held = [name for name in _names().characters.values() if set(near) & set(name.split())]
        return sorted(dict.fromkeys(held), key=lambda name: (len(name.split()), len(name)))[:SUGGESTED]


class Names(NamedTuple):
    """Words of all captions; English names by their names in other languages; English names by characters."""

    words: frozenset[str]
    foreign: dict[str, str]
    characters: dict[str, str]


@cache
def _names() -> Names:
    from limner.data.emoji import LANGUAGES, table
    from limner.data.scenes.language import IN_PLACE, LONG, NUMBERS, SHORT, plural
    from limner.data.scenes.world import COLOURS, POSITIONS, SHAPES, SIZES

    every, english = table(), table().names["en"]
    scene = [*COLOURS, *SHAPES, *map(plural, SHAPES), *SIZES, *POSITIONS, *NUMBERS, GRAMMAR]
    phrases = [*scene, *IN_PLACE.values(), *SHORT, *SHORT.values(), *LONG.values()]
    words = frozenset(_words(" ".join([*english, *phrases])))
    foreign: dict[str, str] = {}
    characters: dict[str, str] = {}
    for index in range(every.plain):
        characters.setdefault(every.sequences[index].translate(_TONES), english[index])
        for language in LANGUAGES:
            foreign.setdefault(_plain(every.names[language][index]), english[index])
    return Names(words, foreign, characters)


def _spelled(text: str) -> str:
    """The text with a name in place of every emoji, set off by blanks."""
    if text.isascii():
        return text
    characters = _names().characters
    bare, made, at = text.translate(_TONES), "", 0
    longest = max(map(len, characters))
    while at < len(bare):
        ends = range(min(len(bare), at + longest), at, -1)
        end = next((end for end in ends if bare[at:end] in characters and not bare[at:end].isascii()), 0)
        made += f" {characters[bare[at:end]]} " if end else bare[at]
        at = end or at + 1
    return " ".join(made.split()) if made != bare else text


def _words(text: str) -> Iterable[str]:
    return _WORD.findall(unicodedata.normalize("NFKC", text).lower())


def _plain(text: str) -> str:
    """A name without what may be written in several ways."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
