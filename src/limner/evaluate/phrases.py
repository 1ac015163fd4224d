"""Words of a text as answers are compared: without case, articles and punctuation, number words as digits.

Scripts that set no blanks between words (Chinese, Japanese, Thai) and those that hang endings on them (Korean) are
taken character by character, so that the words of "红心" are found in "这是一颗红心".
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from limner.data.scenes.language import NUMBERS
from limner.evaluate.answer_words import listed

UNSPACED = "\u0e00-\u0eff\u1100-\u11ff\u3040-\u30ff\u3130-\u318f\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff"
_ENGLISH = listed("a an the")
ARTICLES = _ENGLISH | listed("ein eine einen einem einer das dem un une le la les el los las una il")
_TEENS = ("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen")
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_FOREIGN = (
    "zwei drei vier fünf sechs sieben acht neun zehn",
    "dos tres cuatro cinco seis siete ocho nueve diez",
    "deux trois quatre cinq six sept huit neuf dix",
)
NUMERALS = {word: str(number) for number, word in enumerate((*NUMBERS, *_TEENS))}
NUMERALS |= {word: str(20 + 10 * place) for place, word in enumerate(_TENS)}
NUMERALS |= {word: str(number) for row in _FOREIGN for number, word in enumerate(row.split(), 2)}
NUMERALS |= {sign: str(number) for number, sign in enumerate("二三四五六七八九", 2)} | {"两": "2", "両": "2"}
_WORD = re.compile(
    rf"(?<![\w.])-?\d+(?:[.,]\d+)*|\b({'|'.join(_TENS)})[- ]({'|'.join(NUMBERS[1:])})\b"
    rf"|[{UNSPACED}]|[^\W{UNSPACED}]+|[<>≤≥=]"
)


class WordAt(NamedTuple):
    """A word of a text and where it stands there."""

    word: str
    start: int
    stop: int


def spans(text: str) -> list[WordAt]:
    """The words of a text, articles and all, with their places."""
    lowered = "".join(sign.lower() if len(sign.lower()) == 1 else sign for sign in text)
    plain = re.sub(r"['’]s(?=\s|$)", "  ", lowered)
    return [WordAt(_numeral(match), match.start(), match.end()) for match in _WORD.finditer(plain)]


def _numeral(match: re.Match[str]) -> str:
    if match[1]:  # twenty-one
        return str(int(NUMERALS[match[1]]) + int(NUMERALS[match[2]]))
    return NUMERALS.get(match[0], match[0])


@lru_cache(maxsize=1 << 16)
def words(text: str) -> tuple[str, ...]:
    """Lower-case words without articles and punctuation, number words as digits: how open answers are compared."""
    found = tuple(span.word for span in spans(unicodedata.normalize("NFKC", text)))
    return without(found, ARTICLES) or without(found, _ENGLISH) or found


def without(found: Sequence[str], articles: frozenset[str]) -> tuple[str, ...]:
    """Words that are none of the articles."""
    return tuple(word for word in found if word not in articles)


def contains(text: Sequence[str], phrase: Sequence[str]) -> list[int]:
    """Where the words of a phrase stand in a text, as positions of its first word."""
    size = len(phrase)
    return [at for at in range(len(text) - size + 1) if size and tuple(text[at : at + size]) == tuple(phrase)]


def named(text: str, phrases: Sequence[str]) -> list[int]:
    """Which of the phrases a text names by whole words, not counting "not ...". A phrase inside a longer one that
    stands there too ("left" in "top left") is not named by it."""
    response = words(text)
    places = [(at, at + len(words(p)), i) for i, p in enumerate(phrases) for at in contains(response, words(p))]
    found = {
        i
        for start, stop, i in places
        if response[max(start - 1, 0)] != "not"
        and not any(a <= start and stop <= b and b - a > stop - start for a, b, _ in places)
    }
    return sorted(found)
