"""Asking a model the questions of a set, with their options in several orders, and reading what it picked.

A model that only likes the first letter, or guesses anew each time, is right by chance in some orders and wrong in
others; one that knows is right in all. So every option stands at every place equally often: the orders are the
rotations of a random one, and of a new one when all rotations were used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from string import ascii_uppercase as LETTERS
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import UInt8

from limner.data.images import read_image
from limner.data.question_sets import Item, Trial
from limner.data.scenes.scene import random_for
from limner.errors import InputError
from limner.evaluate.extraction import first_letter_right, read_option, read_phrase
from limner.evaluate.phrases import words

AnswerFn: TypeAlias = Callable[
    [UInt8[np.ndarray, "h w 3"] | None, str], str
]  # (image or None, question) -> the response
ReadFn: TypeAlias = Callable[[str, Sequence[str]], int | None]  # (the response, options in their order) -> place of one
# The instructions of LLaVA-1.5 (arXiv:2310.03744), which most open models were trained with.
LETTER_PLEASE = "Answer with the option's letter from the given choices directly."
PHRASE_PLEASE = "Answer the question using a single word or phrase."


def orders(item: Item, count: int, seed: int = 0) -> list[tuple[int, ...]]:
    """``count`` orders of an item's options, every option as often as possible at every place."""
    size, drawn = len(item.options), []
    for turn in range(count):
        if turn % size == 0:
            start = random_for(seed, item.id, turn).sample(range(size), size)
        drawn.append(tuple(start[(place + turn) % size] for place in range(size)))
    return drawn


def prompt(item: Item, order: Sequence[int] = (), *, instruct: bool = True) -> str:
    """The question with its options as ``A. ...`` lines in this order, and how to answer."""
    options = [item.options[i] for i in order or range(len(item.options))]
    lines = [item.question, *(f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=False))]
    return "\n".join([*lines, LETTER_PLEASE if options else PHRASE_PLEASE] if instruct else lines)


def prompts(
    items: Sequence[Item], *, shuffles: int = 16, repeats: int = 1, seed: int = 0, instruct: bool = True
) -> list[dict[str, Any]]:
    """What to ask: ``{"id", "order", "repeat", "image", "prompt"}`` per trial; with an ``answer``, lines of an answer
    file. ``shuffles``: orders in which options are asked; ``repeats``: times that an open question is asked.

    Raises InputError where nothing would be asked.
    """
    if shuffles < 1 or repeats < 1:
        raise InputError(f"{shuffles} shuffles and {repeats} repeats ask nothing: both must be at least 1")
    return [
        {
            "id": item.id,
            "order": list(order),
            "repeat": turn,
            "image": str(item.image) if item.image is not None else None,
            "prompt": prompt(item, order, instruct=instruct),
        }
        for item in items
        for turn, order in enumerate(orders(item, shuffles, seed) if item.options else [()] * repeats)
    ]


def ask(
    items: Sequence[Item],
    answer: AnswerFn,
    *,
    with_image: bool,
    shuffles: int = 16,
    repeats: int = 1,
    seed: int = 0,
    instruct: bool = True,
) -> tuple[Trial, ...]:
    """What ``answer`` says to the `prompts`, each with the picture of its question or without any.

    To repeat an open question tells something of models that draw their answers (temperature 1), nothing of others.
    """
    trials = []
    for item in items:
        image = read_image(item.image) if with_image and item.image is not None else None
        for row in prompts([item], shuffles=shuffles, repeats=repeats, seed=seed, instruct=instruct):
            trials.append(Trial(item.id, answer(image, row["prompt"]), tuple(row["order"])))
    return tuple(trials)


def vocabularies(items: Sequence[Item]) -> dict[str, tuple[str, ...]]:
    """What there is to choose from, by id: an item's options, or all right answers of an open one's category."""
    by_category: dict[str, dict[tuple[str, ...], str]] = {}
    for item in items:
        if not item.options:
            known = by_category.setdefault(item.category, {})
            for text in item.answers:
                known.setdefault(words(text), text)
    return {item.id: item.options or tuple(by_category[item.category].values()) for item in items}


def picks(items: Sequence[Item], trials: Sequence[Trial], read: ReadFn = read_option) -> dict[str, list[int | None]]:
    """What was picked in each trial, as the place in the item's vocabulary; None where that cannot be read."""
    vocabulary, by_id = vocabularies(items), {item.id: item for item in items}
    found: dict[str, list[int | None]] = {item.id: [] for item in items}
    for trial in trials:
        item, texts = by_id[trial.id], vocabulary[trial.id]
        if not item.options:
            found[item.id].append(read_phrase(trial.response, texts))
            continue
        order = trial.order or range(len(texts))
        place = read(trial.response, [texts[i] for i in order])
        found[item.id].append(None if place is None else order[place])
    return found


def rights(items: Sequence[Item]) -> dict[str, frozenset[int]]:
    """The right places in each item's vocabulary."""
    vocabulary = vocabularies(items)
    right = {item.id: {words(text) for text in item.answers} for item in items}
    return {
        item.id: frozenset(
            [item.right]
            if item.options
            else [i for i, text in enumerate(vocabulary[item.id]) if words(text) in right[item.id]]
        )
        for item in items
    }


def read_first_letter(response: str, options: Sequence[str]) -> int | None:
    """`first_letter_right` as a reading: the first option whose letter the official rule would accept."""
    letters = enumerate(LETTERS[: len(options)])
    return next((place for place, letter in letters if first_letter_right(letter, response)), None)
