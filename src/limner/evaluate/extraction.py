"""From what a model answered to what it meant: an option of a multiple-choice question, an open answer, yes or no.

Models do not answer "C"; they answer "**C**", "(C) a heart", "The answer is: C", "It is a heart." or "I cannot tell".
MMStar's own scorer (arXiv:2403.20330) looks at the first letter, so "Cannot tell" is its C and "It is C" is wrong.
`read_option` reads what was meant and says None where nothing or more than one thing was; `first_letter_right` is the
official rule, for scores that must compare with published ones. Report both.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from string import ascii_uppercase as LETTERS

from limner.data.scenes.language import NUMBERS

NUMERALS = {word: str(number) for number, word in enumerate((*NUMBERS, "ten", "eleven", "twelve"))}
_ARTICLES = {"a", "an", "the"}
_DECORATION = re.compile(r"[*_`\"“”]+")
_ALONE = re.compile(r"[\s(\[{]*([A-Za-z])[\s)\]}.:,;!]*$")  # C, (c), [C], C.
_LEADING = re.compile(  # (c) a heart; C: a heart; c) a heart; but not "A heart"
    r"\s*(?:[(\[{]\s*([A-Za-z])\s*[)\]}]|([A-Z])\s*[)\]}.:,\n]|([a-z])\s*[):])"
)
_DECLARED = re.compile(  # answer: C; option C; it is C; the answer is (c); in lower case only in brackets or at the end
    r"(?i:\b(?:answer|option|choice)(?:\s+(?:is|would be|should be))?|\b(?:it|that)(?:\s+is|['’]s))"
    r"(?i:\s*:?\s*(?:option\s+)?)(?:([A-Z])\b(?!['’])|[(\[{]\s*([A-Za-z])\s*[)\]}]|([a-z])\s*[.!]*$)"
)
_STANDING = re.compile(r"(?<!not )(?<![\w'’])([A-Z])(?![\w'’])")  # a capital by itself


def first_letter_right(answer: str, response: str) -> bool:
    """MMStar's official rule (``MMStar_eval``): both lowered and stripped, right if the answer is the first character,
    or follows "(", "option " or "the answer is ". It knows no other phrasing and asks for no end of the word."""
    answer, response = (text.lower().strip().replace("\n", " ") for text in (answer, response))
    starts = ("", "(", "option ", "the answer is ")
    return len(answer) == 1 and any(response.startswith(start + answer) for start in starts)


@lru_cache(maxsize=1 << 16)
def words(text: str) -> tuple[str, ...]:
    """Lower-case words without articles and punctuation, number words as digits: how open answers are compared."""
    found = re.findall(r"-?\d+(?:\.\d+)*|\w+", text.lower().replace("’", "'").replace("'s ", " "))
    return tuple(NUMERALS.get(word, word) for word in found if word not in _ARTICLES) or tuple(found)


def contains(text: Sequence[str], phrase: Sequence[str]) -> list[int]:
    """Where the words of a phrase stand in a text, as positions of its first word."""
    size = len(phrase)
    return [at for at in range(len(text) - size + 1) if size and tuple(text[at : at + size]) == tuple(phrase)]


def named(text: str, phrases: Sequence[str]) -> list[int]:
    """Which of the phrases a text names by whole words, not counting "not ...". A phrase inside a longer one that
    stands there too ("left" in "top left") is not named by it."""
    response = words(text)
    spans = [(at, at + len(words(p)), i) for i, p in enumerate(phrases) for at in contains(response, words(p))]
    found = {
        i
        for start, stop, i in spans
        if response[max(start - 1, 0)] != "not"
        and not any(a <= start and stop <= b and b - a > stop - start for a, b, _ in spans)
    }
    return sorted(found)


def read_phrase(response: str, phrases: Sequence[str]) -> int | None:
    """The one phrase that was answered, or named by whole words with no other beside it; else None."""
    same = [i for i, phrase in enumerate(phrases) if phrase.strip().lower() == response.strip().lower()]
    same = same or [i for i, phrase in enumerate(phrases) if words(phrase) == words(response)]
    found = same or named(response, phrases)
    return found[0] if len(found) == 1 else None


def read_letter(response: str, count: int) -> int | None:
    """The option whose letter was given, alone, before a delimiter, in the last line or declared ("the answer is (B)";
    the last one counts), in whatever decoration; ``count`` options have the first letters."""
    text = _DECORATION.sub("", response).strip()
    first = _ALONE.match(text) or _LEADING.match(text) or _ALONE.match(text.rpartition("\n")[2])
    found = [first] if first else list(_DECLARED.finditer(text))
    return _place(next(letter for letter in found[-1].groups() if letter), count) if found else None


def read_option(response: str, options: Sequence[str]) -> int | None:
    """The option that was meant, as its place among the options (0 is A), or None where none or several were.

    A letter given as such comes first, then the words of exactly one option, then the only capital of an option that
    stands by itself (never "A", which is also a word).
    """
    found = read_letter(response, len(options))
    if found is None:
        found = read_phrase(response, options)
    if found is None and not named(response, options):
        places = {_place(letter, len(options)) for letter in _STANDING.findall(_DECORATION.sub("", response))} - {None}
        found = places.pop() if len(places) == 1 and places != {0} else None
    return found


def read_yes_no(response: str) -> bool | None:
    """True for yes, False for no, None where neither or both are in the response."""
    found = {word for word in words(response) if word in ("yes", "no")}
    return found == {"yes"} if len(found) == 1 else None


def official_yes_no(response: str) -> bool:
    """POPE's official reading (arXiv:2305.10355, ``evaluate.py``): no if the first sentence holds the word "No", "no"
    or "not", else yes; so an empty answer is a yes."""
    return not {"No", "no", "not"} & set(response.split(".")[0].replace(",", "").split(" "))


def _place(letter: str, count: int) -> int | None:
    place = LETTERS.index(letter.upper())
    return place if place < count else None
