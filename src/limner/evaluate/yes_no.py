"""Yes or no, from a word or from whole sentences, in the languages that models answer in.

A sentence answers by its first word ("Yes, ...", "いいえ"), else by whether it denies: "There isn't any dog" is a no,
"I see a dog" a yes. "No" before a noun denies its sentence ("No cat is there") and answers nothing else. Two sentences
that answer differently are no answer, unless the later one takes the earlier back.
"""

from __future__ import annotations

import re
from functools import lru_cache

from limner.evaluate import answer_words
from limner.evaluate.masking import MARK, normalised
from limner.evaluate.phrases import UNSPACED, words

_STOPS = r"(?=\s*(?:$|[,.:;!?)}\]、。\-–—\n]))"
_OPENERS = rf"^(?:\W|{answer_words.OPENERS})*"
_THIS_IS = r"(?:(?:it|that|this|(?:the|this) (?:statement|claim|sentence))(?: is| was|'s)\s+)?"
_ANSWER_IS = rf"{_THIS_IS}(?:{answer_words.ANSWER}(?:[^.;!?\n]{{0,60}}?{answer_words.IS})?\W*)?"
_IDIOM, _UNSURE = re.compile(answer_words.IDIOMS), re.compile(answer_words.UNSURE)
_NEGATED, _EXISTS = re.compile(answer_words.NEGATED), re.compile(answer_words.EXISTS)
_SUBJECT = r"there|it|i|he|she|they|this|that|we|you|the (?:image|picture|photo)|hay|es|se|veo|ich|da|il|je|ce|on"


def _first(word: str, *after: str) -> re.Pattern[str]:
    """An answer word at the beginning: before a stop, a subject or other words, or in a script without blanks."""
    follows = rf"{_STOPS}|(?=\s+(?:{'|'.join((_SUBJECT, *after))})\b)|(?<=[{UNSPACED}])"
    return re.compile(rf"{_OPENERS}{_ANSWER_IS}\W*(?P<word>{word})(?:{follows})")


_FIRST_YES, _FIRST_NO = _first(answer_words.YES, "n'"), _first(answer_words.NO, "no", "not", "n'")
_SENTENCE = re.compile(rf"[!?。;\n]+\s*|\.(?=\s|$|[{UNSPACED}])\s*")
_TURN = re.compile(rf"^\W*(?!(?:{answer_words.YES}|{answer_words.NO})\W*$){answer_words.TURN}")
_BOTH = r"\b(?:{0})\W{{1,3}}(?:or|and|oder|und|ou|et|o|y)?\W{{0,3}}(?:{1})\b"
_PART = re.compile(r"[,;:，；]|\b(?:and|but|while|though|und|aber|y|pero|et|mais)\b|但|而")
_EITHER = re.compile(
    "|".join(
        (_BOTH.format("yes|ja|oui|sí|si", "no|nein|non"), r"\b(?:no|nein|non) (?:or|and|oder|ou|o) (?:yes|ja|oui|sí)\b")
    )
    + "|是还是不是|是或否|是/否|有没有"
)


def read_yes_no(response: str, question: str = "") -> bool | None:
    """True for yes, False for no, None where neither or both were said. With the ``question``, sentences without an
    answer word are heard where they speak of what it asks about: "a dog and no cat"."""
    text = _IDIOM.sub(" ", normalised(response).lower().replace("’", "'"))
    marked = [part for part in text.split("\n") if MARK in part]
    answers: list[tuple[bool, bool]] = []  # what each sentence says, and whether it takes the others back
    tacit: list[tuple[str, bool]] = []
    for sentence, asks in _sentences("\n".join(marked) if marked else text):
        if asks or _EITHER.search(sentence):
            continue
        answer = first_word(sentence)
        if answer is not None:
            answers.append((answer, bool(_TURN.search(sentence))))
        elif (denies := _denies(sentence)) is not None:
            tacit.append((sentence, not denies))
    if answers:
        decided = answers[-1][0] if answers[-1][1] else answers[0][0]
        return decided if answers[-1][1] or len({answer for answer, _ in answers}) == 1 else None
    stated = _about(tacit, set(words(question)) - answer_words.CARRIERS) or {states for _, states in tacit}
    return stated.pop() if len(stated) == 1 else None


def _about(tacit: list[tuple[str, bool]], topic: set[str]) -> set[bool]:
    """What the parts of sentences that have a word of the topic state."""
    parts = [(part, states) for sentence, states in tacit for part in _PART.split(sentence) if topic & set(words(part))]
    return {states or not _NEGATED.search(part) for part, states in parts}


@lru_cache(maxsize=1 << 12)
def label(text: str) -> bool | None:
    """Is a text just yes, or just no, in whatever spelling? None for anything else."""
    plain = normalised(text).strip(" .!,。\n").lower()
    return True if plain in answer_words.YES_LABELS else False if plain in answer_words.NO_LABELS else None


def first_word(sentence: str) -> bool | None:
    """What the answer word at the beginning of a sentence says, or of what follows its first comma, if there is one."""
    if _UNSURE.search(sentence):
        return None
    no, yes = _FIRST_NO.match(sentence), _FIRST_YES.match(sentence)
    if no and yes:
        return (
            no.end("word") < yes.end("word")
            if no.start("word") == yes.start("word")
            else yes.start("word") > no.start("word")
        )
    if no is None and yes is None:
        return first_word(sentence.partition(",")[2]) if "," in sentence[:80] else None
    return yes is not None


def _denies(sentence: str) -> bool | None:
    """Does a sentence without an answer word deny that something is there (True) or state it (False)?"""
    if _UNSURE.search(sentence):
        return None
    if _NEGATED.search(sentence):
        return True
    return False if _EXISTS.search(sentence) else None


def _sentences(text: str) -> list[tuple[str, bool]]:
    """Sentences with whether they ask."""
    found, start = [], 0
    for match in _SENTENCE.finditer(text):
        found.append((text[start : match.start()], "?" in match.group()))
        start = match.end()
    found.append((text[start:], False))
    return [(sentence, asks) for sentence, asks in found if sentence.strip(f" {MARK}\n\t.,")]
