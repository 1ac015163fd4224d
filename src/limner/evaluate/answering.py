"""Are questions about pictures answered right? Per kind of question, beside what answers without looking would score.

    qa/KIND         share of right answers; qa/overall over all questions
    majority/KIND   the share that the commonest answer of that kind would get
    blind/overall   the share that the model itself gets without the picture; gain is qa/overall less that (MMStar,
                    arXiv:2403.20330, Section 3.3)

An answer is right if it says what the true one says; `limner.evaluate.extraction.same` reads it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

import numpy as np
from jaxtyping import UInt8

from limner.data.conversations import FREE, Conversation, Turn
from limner.evaluate.extraction import same, words

Picture: TypeAlias = UInt8[np.ndarray, "h w 3"]
AnswersFn: TypeAlias = Callable[[Sequence[Picture] | None, Sequence[str]], list[str]]


def questions_of(conversations: Iterable[Conversation]) -> tuple[list[Picture], list[Turn]]:
    """Every question about a picture that has one right answer; captions and dialogues have many."""
    pictured = [(one.image, one.turns) for one in conversations if one.image is not None]
    pairs = [(image, turn) for image, turns in pictured for turn in turns if turn.kind not in FREE]
    return [image for image, _ in pairs], [turn for _, turn in pairs]


def answering_scores(answers: AnswersFn, images: Sequence[Picture], turns: Sequence[Turn]) -> dict[str, float]:
    """``qa/*``, ``majority/*``, ``blind/overall`` and ``gain/overall`` of a model on these questions."""
    questions = [turn.question for turn in turns]
    seen, blind = answers(images, questions), answers(None, questions)
    right: dict[str, list[bool]] = defaultdict(list)
    true: dict[str, Counter[tuple[str, ...]]] = defaultdict(Counter)
    for turn, answer in zip(turns, seen, strict=True):
        right[turn.kind].append(same(answer, turn.answer, turn.question))
        true[turn.kind][words(turn.answer)] += 1
    scores = {f"qa/{kind}": sum(marks) / len(marks) for kind, marks in sorted(right.items())}
    common = {kind: max(answers.values()) for kind, answers in sorted(true.items())}
    scores |= {f"majority/{kind}": count / len(right[kind]) for kind, count in common.items()}
    scores["qa/overall"] = sum(map(sum, right.values())) / len(turns)
    scores["majority/overall"] = sum(common.values()) / len(turns)
    guessed = [same(answer, turn.answer, turn.question) for turn, answer in zip(turns, blind, strict=True)]
    scores["blind/overall"] = sum(guessed) / len(turns)
    scores["gain/overall"] = scores["qa/overall"] - scores["blind/overall"]
    return scores


def chance(turns: Sequence[Turn]) -> dict[str, float]:
    """The share that an answer drawn from all right answers of a kind would get, by kind and ``overall``."""
    answers: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for turn in turns:
        answers[turn.kind].add(words(turn.answer))
    guessed = {kind: 1 / len(there) for kind, there in sorted(answers.items())}
    return {**guessed, "overall": sum(guessed[turn.kind] for turn in turns) / len(turns)}
