"""Question sets and recorded answers as JSONL: what is asked of a model that sees, and what it answered.

A question per line, with options (``answer`` is the letter or the words of the right one) or open (``answer`` is a
string, or a list of strings that are all right)::

    {"id": "7", "question": "What shape is the red thing?", "options": ["heart", "star"], "answer": "A",
     "image": "pictures/7.png", "category": "shape"}

An answer per line. ``order`` says which option was shown at each place where the options were shuffled; ``repeat``
numbers the times that the same was asked again::

    {"id": "7", "order": [1, 0], "repeat": 0, "answer": "(B) heart"}

Other keys are passed over. A missing ``id`` is the number of the line.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase as LETTERS
from typing import Any, NamedTuple

from limner.data.lines import read_lines, write_rows
from limner.errors import InputError

FLAGS = ("text", "question", "leaked")  # why a question needs no picture; see limner.evaluate.audit
_INLINE = re.compile(  # "A: red, B: blue", "(A) red (B) blue", "A. red B. blue", also full-width
    r"(?:^|(?<=[\s,;:：，；。?？]))(?:[(\[（【]([A-ZＡ-Ｚ])[)\]）】]|([A-ZＡ-Ｚ])[:.)：．、）](?![A-Za-z0-9]))\s*"
)
_HEADING = re.compile(
    r"[\s*#]*(?:Options|Choices|Answer choices|选项|選項|選択肢|보기|Opciones|Optionen)\s*[:：]?\s*$", re.IGNORECASE
)


@dataclass(frozen=True)
class Item:
    """A question: open, or with ``options`` of which one is right. ``answers`` are all right (one, with options).

    ``planted``: which of ``FLAGS`` are known to hold, or None where that is not known.
    """

    id: str
    question: str
    answers: tuple[str, ...]
    options: tuple[str, ...] = ()
    image: Path | None = None
    category: str = ""
    planted: frozenset[str] | None = None

    @property
    def right(self) -> int:
        """Place of the right option."""
        return self.options.index(self.answers[0])


class Trial(NamedTuple):
    """What a model answered when a question was asked once, its options shown in ``order`` (empty: as written)."""

    id: str
    response: str
    order: tuple[int, ...] = ()


def read_questions(path: str | Path) -> tuple[Item, ...]:
    """The questions of a JSONL file; pictures are found relative to it, and not looked for.

    Raises InputError naming the file and the line of the first thing that is wrong.
    """
    file = Path(path)
    items: dict[str, Item] = {}
    for number, row in _rows(file):
        item, problem = _item(row, number, file.parent)
        if item is not None and item.id in items:
            problem = f"has the id '{item.id}' a second time: give every question its own"
        if item is None or problem:
            raise InputError(f"line {number} of '{file}' {problem}")
        items[item.id] = item
    if not items:
        raise InputError(f"'{file}' asks nothing: write one question per line")
    return tuple(items.values())


def write_questions(path: str | Path, items: Iterable[Item]) -> None:
    """Write questions so that `read_questions` gives them back; pictures relative to the file where they lie below it.

    Raises InputError if the file cannot be written.
    """
    file = Path(path)
    rows = []
    for item in items:
        answer = LETTERS[item.right] if item.options else list(item.answers)
        row: dict[str, Any] = {"id": item.id, "question": item.question}
        row |= {"options": list(item.options)} if item.options else {}
        row |= {"answer": answer if len(answer) > 1 else answer[0]}
        row |= {"image": _below(item.image, file.parent)} if item.image is not None else {}
        row |= {"category": item.category} if item.category else {}
        row |= {"planted": sorted(item.planted)} if item.planted is not None else {}
        rows.append(row)
    write_rows(file, rows)


def read_answers(path: str | Path, items: Sequence[Item]) -> tuple[Trial, ...]:
    """The answers of a JSONL file to all of the questions, each answered once or more.

    Raises InputError naming the file and the line of the first thing that is wrong, or a question without an answer.
    """
    file = Path(path)
    by_id = {item.id: item for item in items}
    trials: dict[tuple[Any, ...], Trial] = {}
    for number, row in _rows(file):
        trial, problem = _trial(row, number, by_id)
        key = (trial.id, trial.order, row.get("repeat", 0)) if trial is not None else ()
        if key in trials:
            problem = f"answers '{row.get('id', number)}' in the same order again: number the repeats, \"repeat\": 1"
        if trial is None or problem:
            raise InputError(f"line {number} of '{file}' {problem}")
        trials[key] = trial
    if unanswered := by_id.keys() - {trial.id for trial in trials.values()}:
        first = next(id for id in by_id if id in unanswered)
        raise InputError(
            f"'{file}' does not answer question '{first}' ({len(unanswered)} of {len(by_id)} are missing): "
            "answer all, if only with an empty string"
        )
    return tuple(trials.values())


def replace_text(path: Path, text: str) -> None:
    """Writes a file whole: until that is done what was there stays. Halves of characters, which no file holds, are
    written as ``\\ud800``, as JSON spells them. Raises InputError if it cannot be written."""
    aside = path.with_name(f".writing-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.write_bytes(text.encode("utf-8", "backslashreplace"))
        aside.replace(path)
    except OSError as error:
        with suppress(OSError):
            aside.unlink()
        raise InputError(f"'{path}' cannot be written ({error.strerror}): choose another place") from None


def inline_options(question: str) -> tuple[str, tuple[str, ...]]:
    """A question with its options written into it ("... Options: A: red, B: blue", "(A) red (B) blue"), parsed;
    ``(question, ())`` where there are none. What follows the line of the last option stays in the question."""
    marks = list(_INLINE.finditer(question))
    letters = "".join(unicodedata.normalize("NFKC", mark[1] or mark[2]) for mark in marks)
    first = letters.rfind("A")
    if first < 0 or len(letters) - first < 2 or letters[first:] != LETTERS[: len(letters) - first]:
        return question, ()
    run = marks[first:]
    ends = [*(mark.start() for mark in run[1:]), len(question)]
    texts = [question[mark.end() : end] for mark, end in zip(run, ends, strict=True)]
    texts[-1], _, rest = texts[-1].strip().partition("\n")
    found = tuple(text.strip().rstrip(",;，；").strip() for text in texts)
    if not all(found) or len(set(found)) < len(found):
        return question, ()
    stem = _HEADING.sub("", question[: run[0].start()]).strip()
    return "\n".join(part for part in (stem, rest.strip()) if part), found


def _rows(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a JSONL file with the numbers of their lines; empty lines are passed over."""
    for number, row, problem in read_lines(file):
        if row is None:
            raise InputError(f"line {number} of '{file}' {problem}")
        yield number, row


def _item(row: dict[str, Any], number: int, folder: Path) -> tuple[Item | None, str]:
    """A question, or None and what is wrong with it."""
    question, options = row.get("question"), row.get("options", [])
    if not isinstance(question, str) or not question.strip():
        return None, 'asks nothing: write {"question": "...", "answer": "..."}'
    if not _strings(options, least=0) or len(options) == 1 or len(options) > len(LETTERS):
        return None, 'has "options" that are no list of 2 to 26 strings: correct them, or leave them out'
    if len(set(options)) < len(options):
        return None, "offers the same option twice: every option must differ"
    stem, inline = inline_options(question)
    if inline and (set(inline) == set(options) or (not options and _written_in(row.get("answer"), question, inline))):
        question, options = stem, options or inline
    answers, problem = _answers(row.get("answer"), tuple(options))
    if problem:
        return None, problem
    words = [row.get("image"), row.get("category")]
    if not all(word is None or isinstance(word, str) for word in words):
        return None, 'has an "image" or "category" that is no string: put it in quotes'
    planted = row.get("planted")
    if planted is not None and not (isinstance(planted, list) and all(flag in FLAGS for flag in planted)):
        return None, f'has "planted" flags other than {", ".join(FLAGS)}: correct them, or leave them out'
    return Item(
        id=str(row.get("id", number)),
        question=question,
        answers=answers,
        options=tuple(options),
        image=folder / words[0] if words[0] else None,
        category=words[1] or "",
        planted=None if planted is None else frozenset(planted),
    ), ""


def _written_in(answer: Any, question: str, inline: tuple[str, ...]) -> bool:
    """Are these options, by their heading or by the answer, which is one of them?"""
    return "Options:" in question or not _answers(answer, inline)[1]


def _answers(answer: Any, options: tuple[str, ...]) -> tuple[tuple[str, ...], str]:
    """What is right, and what is wrong with it. A letter of an option comes before words that look like one."""
    given = [answer] if isinstance(answer, str) else answer
    if not _strings(given, least=1):
        return (), 'has no "answer": give a string, or for an open question a list of strings'
    if not options:
        return tuple(given), ""
    if len(given) == 1 and len(given[0]) == 1 and given[0] in LETTERS[: len(options)]:
        return (options[LETTERS.index(given[0])],), ""
    if len(given) == 1 and given[0] in options:
        return (given[0],), ""
    return (), f"has the answer {answer!r}, which is no option: give the letter A to {LETTERS[len(options) - 1]}"


def _trial(row: dict[str, Any], number: int, by_id: dict[str, Item]) -> tuple[Trial | None, str]:
    """An answer, or None and what is wrong with it."""
    id, response, order = str(row.get("id", number)), row.get("answer"), row.get("order", [])
    if id not in by_id:
        return None, f"answers '{id}', which is no question of the set: take the line away, or correct the id"
    if not isinstance(response, str):
        return None, 'has no "answer" that is a string: write what the model answered, "" if nothing'
    count = len(by_id[id].options)
    if not isinstance(order, list) or (order and sorted(map(repr, order)) != sorted(map(repr, range(count)))):
        return None, f'has an "order" that is none of the {count} options: give each place from 0 once, or leave it out'
    if not isinstance(row.get("repeat", 0), int):
        return None, 'has a "repeat" that is no whole number: count repeats from 0'
    return Trial(id, response, tuple(order)), ""


def _strings(value: Any, *, least: int) -> bool:
    """Is it a list of non-empty strings, ``least`` or more?"""
    return isinstance(value, list) and len(value) >= least and all(isinstance(v, str) and v.strip() for v in value)


def _below(image: Path, folder: Path) -> str:
    try:
        return image.resolve().relative_to(folder.resolve()).as_posix()
    except ValueError:
        return str(image.resolve())
