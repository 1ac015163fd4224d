"""From what a model answered to what it meant: an option of a multiple-choice question, an open answer, yes or no.

    read_option("The right answer is **B**. A heart is rounder.", ("heart", "star"))      1
    read_phrase("It is a star.", ("heart", "star"))                                      1
    read_yes_no("There isn't any dog.")                                                  False

Models do not answer "C"; they think aloud, copy the options, talk about the wrong ones, box the right one, or speak
Chinese. MMStar's own scorer (arXiv:2403.20330) looks at the first letter, so "Cannot tell" is its C and "It is C" is
wrong. Here what was meant is read (`limner.evaluate.claims` says how), and None where nothing or more than one thing
was; `first_letter_right` is the official rule, for scores that must compare with published ones. Report both.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from string import ascii_uppercase as LETTERS

from limner.evaluate import answer_words
from limner.evaluate.claims import chosen
from limner.evaluate.masking import items, mask, normalised
from limner.evaluate.phrases import named, words
from limner.evaluate.yes_no import label, read_yes_no

__all__ = [
    "first_letter_right",
    "named",
    "official_yes_no",
    "read_letter",
    "read_option",
    "read_phrase",
    "read_yes_no",
    "same",
    "words",
]


_PLAIN = re.compile(r"\s*[(\[]?([A-Za-z])(?:[)\]]?\.?\s*$|[)\].:]+\s(.*)$)")


def first_letter_right(answer: str, response: str) -> bool:
    """MMStar's official rule (``MMStar_eval``): both lowered and stripped, right if the answer is the first character,
    or follows "(", "option " or "the answer is ". It knows no other phrasing and asks for no end of the word."""
    answer, response = (text.lower().strip().replace("\n", " ") for text in (answer, response))
    starts = ("", "(", "option ", "the answer is ")
    return len(answer) == 1 and any(response.startswith(start + answer) for start in starts)


def read_option(response: str, options: Sequence[str]) -> int | None:
    """The option that was meant, as its place among the options (0 is A), or None where none or several were.

    Options are named by letter or by their words; of a letter and words that contradict each other, the letter counts.
    """
    if plain := _PLAIN.match(response):  # as most models answer when they are asked for a letter
        place = LETTERS.index(plain[1].upper())
        if plain[2] is None:
            return place if place < len(options) else None
        if place < len(options) and plain[2].strip() == options[place].strip():
            return place
    exact = _equal(response, options)
    if exact is not None:
        return exact
    masked, polar = mask(normalised(response), options), [label(option) for option in options]
    if sorted(polar, key=str) == [False, True] and not any(by_letter for _, _, by_letter in items(masked)):
        found = read_yes_no(response)
        return None if found is None else polar.index(found)
    return chosen(masked, len(options))


@lru_cache(maxsize=1 << 12)
def read_letter(response: str, count: int) -> int | None:
    """The option whose letter was given; ``count`` options have the first letters."""
    return chosen(mask(normalised(response), [""] * count), count)


def read_phrase(response: str, phrases: Sequence[str]) -> int | None:
    """The one phrase that was answered, or None: word for word; as a yes, a number or a letter where the phrases are
    such; or in a sentence that names no other phrase."""
    exact = _equal(response, phrases)
    if exact is not None:
        return exact
    polar = [label(phrase) for phrase in phrases]
    if phrases and None not in polar:
        found = read_yes_no(response)
        return polar.index(found) if found in polar and found is not None else None
    letters = [phrase.strip().upper() for phrase in phrases]
    if all(len(letter) == 1 and letter in LETTERS for letter in letters):  # options that only the picture shows
        place = read_letter(response, 1 + max(map(LETTERS.index, letters)))
        return letters.index(LETTERS[place]) if place is not None and LETTERS[place] in letters else None
    # "+ 1": there may be more to choose from than these phrases
    return chosen(mask(normalised(response), phrases, letters=False), len(phrases) + 1)


def same(response: str, true: str, question: str = "") -> bool:
    """Does an open answer say what is true? In the same words, as yes or no, by the only number in it, or in a sentence
    whose other words add nothing: those of the question and such as "it is" and "there are"."""
    if words(response) == words(true):
        return response.strip().lower() == true.strip().lower() or bool(words(true))
    polar = label(true)
    if polar is not None:
        return read_yes_no(response, question) is polar
    number, text = words(true), normalised(response)
    found = words(text)
    if len(number) == 1 and number[0].isdigit():
        numbers = {word for word in found if word.replace(".", "").lstrip("-").isdigit()}
        none = number == ("0",) and not numbers and read_yes_no(text) is False
        return none or (numbers == set(number) and chosen(mask(text, [true], letters=False), 2) == 0)
    if chosen(mask(text, [true], letters=False), 2) != 0:
        return False
    return set(found) <= {*number, *words(question), *answer_words.CARRIERS}


def official_yes_no(response: str, question: str = "") -> bool:
    """POPE's official reading (arXiv:2305.10355, ``evaluate.py``): no if the first sentence holds the word "No", "no"
    or "not", else yes; so an empty answer is a yes, and the ``question`` plays no part."""
    return not {"No", "no", "not"} & set(response.split(".")[0].replace(",", "").split(" "))


def _equal(response: str, phrases: Sequence[str]) -> int | None:
    """The one phrase that equals the response, or else has the same words."""
    equal = [i for i, phrase in enumerate(phrases) if phrase.strip().lower() == response.strip().lower()]
    equal = equal or [i for i, phrase in enumerate(phrases) if words(phrase) and words(phrase) == words(response)]
    return equal[0] if len(equal) == 1 else None
