"""An answer with every option that it names as one sign, so that what is said about options can be read as text.

    "The right answer is B. A heart is rounder."    becomes    "the right answer is <1>. a <0> is rounder."

An option is named by its letter or by its words. What follows tells the letter A from the article: an article
stands before a word, a letter before a stop, a bracket, a verb ("A is", "A shows") or another letter.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate
from string import ascii_lowercase

from limner.evaluate.phrases import ARTICLES, UNSPACED, WordAt, spans, words

LETTER, PHRASE = 0xE100, 0xE200  # private signs: LETTER + i is option i by its letter, PHRASE + i by its words
MARK = "\ue001"  # before what was marked as the answer: \boxed{B}, <answer>B</answer>
ITEM = f"[{chr(LETTER)}-{chr(PHRASE + 0xFF)}]"
HALF = 3_000  # characters at either end of an answer that are read
_ITEM_SIGN = re.compile(ITEM)
_THOUGHTS = "think|thinking|thought|thoughts|reasoning|reason|reflection|analysis|scratchpad|analyse|rationale"
_BEGIN, _END = rf"[<◁\[]\|?(?:begin_of_)?({_THOUGHTS})\|?[>▷\]]", rf"[<◁\[](?:/|\|end_of_)({_THOUGHTS})\|?[>▷\]]"
_BEGINS, _ENDS_THOUGHT = re.compile(_BEGIN, re.IGNORECASE), re.compile(_END, re.IGNORECASE)
_TAGGED = re.compile(
    r"<(answer|final_answer|final|conclusion|ans|choice|output)>(.*?)(?:</\1>|$)", re.DOTALL | re.IGNORECASE
)
_BOX = re.compile(r"<\|begin_of_box\|>(.*?)<\|end_of_box\|>", re.DOTALL)
_LATEX = re.compile(r"\\(?:text|textbf|textrm|mathrm|mathbf|mathsf|rm|bf|operatorname)\s*\{([^{}]*)\}")
_DECORATION = re.compile(
    r"[*`\"“”„$#~]+|(?<!\w)_+|_+(?!\w)|</?[a-zA-Z]{2,}>|</?s>|<\|[^|>\n]{1,24}\|>|[\u200b-\u200f\u2060\ufeff]"
)
_QUOTED = re.compile(r"(?<!\w)['‘]([^'’\n]{1,60})['’](?!\w)")
_ANSWERED = re.compile(r"(^|\n)A:\s*(?=\(?[A-Z]\)?[.)]?\s*(?:$|\n))")  # "Q: ... A: B"
_LOOKALIKE = {"А": "A", "В": "B", "С": "C", "Е": "E"}  # Cyrillic letters that look like those of options
_LATIN = "A-Za-z0-9\u00c0-\u024f\u0400-\u04ff"
_SINGLE = re.compile(rf"(?<![{_LATIN}'’_\-])([A-Za-zАВСЕ])(?![{_LATIN}'’_])(?!-[{_LATIN}])")
_OPENED, _CLOSED = re.compile(r"[(\[{<«「『【〈]\s*$"), re.compile(r"\s*[)\]}>»」』】〉]")
_DELIMITER = re.compile(r"\s*[)\]}.:,、](?!\w)|\s*[)\]}:]|\s+[\-–—]\s")
_ENDS = re.compile(rf"\s*(?:$|[.,:;!?)\]}}/&|、。\n>=)}}–—+✅✓✔☑❌✗]|-\s|[{UNSPACED}])")
_FOLLOWS = re.compile(  # what stands after a letter and never after an article
    r"\s+(?:is|was|are|isn't|because|since|as|and|or|but|nor|for|to|through|rather|over|instead|not|here|shows?|depicts?|matches|fits|fit|has"
    r"|looks?|seems?|appears?|describes?|does|doesn't|can|cannot|can't|would|will|must|should|contains?|fails|best|correctly"
    r"|wins|applies|stimmt|sagen|wählen|richtig|falsch|korrekt|better|instead|it|yes|no|alone|und|statt|anstatt|anstelle|en|plutôt|au|invece|em|oder|ist|weil|da|passt|zeigt|y|o|es|porque|et|ou|est|parce|car|e|è|é|и|или|[A-Z](?![\w'’]))(?![\w'’])"
)
_CUED = re.compile(
    r"(?:option|choice|letter|opción|opcion|antwort|réponse|lettre|buchstabe|letra|risposta|resposta|ответ|вариант|"
    rf"[{UNSPACED}]|{MARK})[\s:]*$",
    re.IGNORECASE,
)
_OTHER_USE = re.compile(  # words of options that here are none: "B is right", "the right answer", "one might say"
    r"\b[A-Z][)\]]?\s+(?:is|are|was|seems|looks)\s+(?:the\s+)?"
    r"\0(?:right|wrong|correct|incorrect|true|false|best|no|yes)\0"
    r"|\0(?:right|correct|best|wrong|true|only|final|no|yes)\0\s+(?:answer|option|choice|letter|one)\b"
    r"|\0one\0\s+(?:may|might|could|would|can|sees?)\b"
    r"|\b(?:right|correct|other|this|that|which|only|first|last|wrong|best)\s+\0ones?\0",
    re.IGNORECASE,
)
_LOWER_CUED = re.compile(
    r"(?:\b(?:answer|option|choice|letter|respuesta|opción|antwort|réponse|ans)\b"
    rf"(?:\s+(?:is|would be|should be|es|ist|est))?\s*:?\s*|{MARK}\s*)$",
    re.IGNORECASE,
)


def normalised(response: str) -> str:
    """The answer without thoughts, decoration and full-width forms, and `MARK` before what it marks as the answer."""
    text = unicodedata.normalize("NFKC", response.replace("\u2028", "\n").replace("\u2029", "\n").replace("\r", "\n"))
    text = _without_thoughts(text)
    if len(text) > 2 * HALF:  # answers stand at the beginning or at the end
        text = f"{text[:HALF]}\n{text[-HALF:]}"
    text = _TAGGED.sub(rf"\n{MARK}\2\n", _BOX.sub(rf"\n{MARK}\1\n", text))
    plain = _QUOTED.sub(r"\1", _DECORATION.sub("", _unboxed(text)))
    return _ANSWERED.sub(r"\1answer: ", plain)


def _without_thoughts(text: str) -> str:
    """What lies between a beginning and the next end of the same name is a thought; so is all before an end that has no
    beginning, and all after a beginning that has no end. Linear in the length of the text."""
    ends: dict[str, list[re.Match[str]]] = {}
    for end in _ENDS_THOUGHT.finditer(text):
        ends.setdefault(end[1].lower(), []).append(end)
    parts, at = [], 0
    for begin in _BEGINS.finditer(text):
        following = ends.get(begin[1].lower(), [])
        first = bisect_left(following, begin.end(), key=lambda end: end.start())
        if begin.start() >= at and first < len(following):
            parts.append(text[at : begin.start()])
            at = following[first].end()
    text = "\n".join([*parts, text[at:]])
    text = text[max((end.end() for end in _ENDS_THOUGHT.finditer(text)), default=0) :]
    unended = _BEGINS.search(text)
    return text if unended is None else text[: unended.start()]


def _unboxed(text: str) -> str:
    """LaTeX boxes as marked answers, and its fonts taken away."""
    while (plain := _LATEX.sub(r"\1", text)) != text:
        text = plain
    parts = re.split(r"\\f?boxed\s*\{", text)
    for number, part in enumerate(parts[1:], 1):
        depth = accumulate((sign == "{") - (sign == "}") for sign in part)
        end = next((at for at, deep in enumerate(depth) if deep < 0), len(part))
        parts[number] = f"\n{MARK}{part[:end]}\n{part[end + 1 :]}"
    return re.sub(r"\\[()\[\],;! ]", " ", "".join(parts))


def mask(text: str, options: Sequence[str], *, letters: bool = True) -> str:
    """A normalised answer in lower case, every named option one sign. Words of a longer option that stands there do
    not name a shorter one; an option's words right after its letter belong to it. Without ``letters`` options have
    words alone."""
    by_letter = dict(_letters(text, len(options))) if letters else {}
    phrases = {start: (stop, place) for start, stop, place in _phrases(text, options) if start not in by_letter}
    parts, at = [], 0
    for start in sorted({*by_letter, *phrases}):
        if start < at:
            continue
        stop, place = by_letter.get(start) or phrases[start]
        parts += [text[at:start].lower(), chr((LETTER if start in by_letter else PHRASE) + place)]
        at = stop
        if start in by_letter:
            delimiter = _DELIMITER.match(text, at)
            begins = re.compile(r"[\s'(:]*").match(text, delimiter.end() if delimiter else at)
            own = phrases.get(_past_articles(text, begins.end() if begins else at))
            ends_sentence = delimiter is not None and delimiter.group().strip() == "."
            if own is not None and (own[1] == place or (delimiter is not None and not ends_sentence)):
                at = own[0]
                parts.append("\ue000")  # the letter has its words
    return "".join([*parts, text[at:].lower()])


def _past_articles(text: str, at: int) -> int:
    article = re.compile(r"(?:(?:a|an|the|ein|eine|un|une|una|der|die|das|el|la|le)\s+)?", re.IGNORECASE).match(
        text, at
    )
    return article.end() if article else at


def _letters(text: str, count: int) -> Iterator[tuple[int, tuple[int, int]]]:
    """Where a letter of an option stands as such: start, and (stop, place)."""
    whole = text.replace(MARK, "").strip().strip(".()[]{}:;!,? ")
    for match in _SINGLE.finditer(text):
        letter = _LOOKALIKE.get(match[1], match[1])
        place = ascii_lowercase.index(letter.lower())
        if place >= count:
            continue
        before, start, stop = text[max(match.start() - 24, 0) : match.start()], match.start(), match.end()
        opened, closed = _OPENED.search(before), _CLOSED.match(text, stop)
        if opened and closed:
            yield start - len(opened.group()), (closed.end(), place)
        elif (closed and not opened and text[closed.end() - 1] == ")" and before.count("(") <= before.count(")")) or (
            len(whole) == 1
            or (_is_letter(text, before, letter, stop) if letter.isupper() else _lower_is_letter(text, before, stop))
        ):
            yield start, (stop, place)


def _is_letter(text: str, before: str, letter: str, stop: int) -> bool:
    """Is a capital by itself a letter, and no article or other word of one letter?"""
    if letter not in "AEIOUY":
        return True
    if letter == "I" and not _ENDS.match(text, stop):
        return False
    other_script = re.compile(rf"\s+[^\W{_LATIN}]").match(text, stop)
    return bool(_ENDS.match(text, stop) or other_script or _FOLLOWS.match(text, stop) or _CUED.search(before))


def _lower_is_letter(text: str, before: str, stop: int) -> bool:
    """In lower case: "answer: b", and "b." or "b:" where a line begins."""
    begins = not before.rpartition("\n")[2].strip()
    ends = re.compile(r"\s*[.!]*\s*(?:$|\n)").match(text, stop)
    return bool(begins and re.compile(r"\s*[.:)]").match(text, stop)) or bool(ends and _LOWER_CUED.search(before))


def _phrases(text: str, options: Sequence[str]) -> Iterator[tuple[int, int, int]]:
    """Where the words of an option stand: start, stop, place; the longest only."""
    there = [span for span in spans(text) if span.word not in ARTICLES]
    wanted = [words(option) for option in options]
    found = [
        (there[at].start, there[at + len(phrase) - 1].stop, place)
        for place, phrase in enumerate(wanted)
        if phrase and not (len(phrase) == 1 and len(phrase[0]) == 1 and phrase[0] in ascii_lowercase)
        for at in _starts(there, phrase, text)
    ]
    for start, stop, place in found:
        inner = any(a <= start and stop <= b and b - a > stop - start for a, b, _ in found)
        around = f"{text[max(start - 24, 0) : start]}\0{text[start:stop]}\0{text[stop : stop + 24]}"
        if not inner and not _OTHER_USE.search(around):
            yield start, stop, place


def _starts(there: Sequence[WordAt], phrase: tuple[str, ...], text: str) -> Iterator[int]:
    for at in range(len(there) - len(phrase) + 1):
        found = all(there[at + i].word == word for i, word in enumerate(phrase))
        if found and "\n" not in text[there[at].start : there[at + len(phrase) - 1].stop]:
            yield at


def items(text: str) -> list[tuple[int, int, bool]]:
    """Of a masked text every item: where, which option, and whether by its letter."""
    return [
        (match.start(), (ord(match.group()) - LETTER) & 0xFF, ord(match.group()) < PHRASE)
        for match in _ITEM_SIGN.finditer(text)
    ]
