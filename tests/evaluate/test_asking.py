from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from PIL import Image

from limner.data.question_sets import Item, Trial
from limner.errors import InputError
from limner.evaluate.asking import (
    LETTER_PLEASE,
    PHRASE_PLEASE,
    ask,
    orders,
    picks,
    prompt,
    prompts,
    read_first_letter,
    rights,
    vocabularies,
)

FRUIT = Item("fruit", "Which one?", ("plum",), ("pear", "plum", "fig"), category="food")
OPEN = Item("open", "How many?", ("two", "a pair"), category="count")


def test_every_option_stands_at_every_place_equally_often():
    drawn = orders(FRUIT, 6)
    for place in range(3):
        assert Counter(order[place] for order in drawn) == {0: 2, 1: 2, 2: 2}
    assert len(set(orders(FRUIT, 60))) == 6
    assert orders(FRUIT, 6) == drawn
    assert any(orders(FRUIT, 6, seed=seed) != drawn for seed in (1, 2, 3))


def test_a_prompt_says_all_that_is_needed():
    assert prompt(FRUIT) == f"Which one?\nA. pear\nB. plum\nC. fig\n{LETTER_PLEASE}"
    assert prompt(FRUIT, (2, 0, 1), instruct=False) == "Which one?\nA. fig\nB. pear\nC. plum"
    assert prompt(OPEN) == f"How many?\n{PHRASE_PLEASE}"


def test_prompts_are_rows_that_answers_can_be_put_into():
    rows = prompts([FRUIT, OPEN], shuffles=7, repeats=2)
    assert [row["id"] for row in rows] == ["fruit"] * 7 + ["open"] * 2
    assert len({(row["id"], tuple(row["order"]), row["repeat"]) for row in rows}) == 9
    for row in rows[:7]:
        assert row["prompt"] == prompt(FRUIT, row["order"])
    with pytest.raises(InputError, match="0 shuffles"):
        prompts([FRUIT], shuffles=0)


def test_a_model_is_asked_with_and_without_the_picture(tmp_path):
    Image.new("RGB", (4, 2), (255, 0, 0)).save(tmp_path / "a.png")
    item = Item("a", "What colour?", ("red",), ("red", "blue"), tmp_path / "a.png")

    def answer(image: np.ndarray | None, question: str) -> str:
        colour = "blue" if image is None else "red" if image[0, 0, 0] == 255 else "?"
        return next(line[0] for line in question.split("\n") if line.endswith(f". {colour}"))

    seen, blind = (ask([item], answer, with_image=with_image, shuffles=4) for with_image in (True, False))
    assert Counter(trial.response for trial in seen) == {"A": 2, "B": 2}
    assert picks([item], seen) == {"a": [0] * 4}
    assert picks([item], blind) == {"a": [1] * 4}
    assert len(ask([OPEN], lambda image, question: "2", with_image=True, repeats=3)) == 3


def test_picks_are_places_of_the_item_whatever_the_order():
    trials = [Trial("fruit", "B"), Trial("fruit", "(A) plum", (1, 2, 0)), Trial("fruit", "a fig"), Trial("fruit", "?")]
    assert picks([FRUIT], trials) == {"fruit": [1, 1, 2, None]}
    assert picks([FRUIT], trials, read_first_letter) == {"fruit": [1, 1, 0, None]}


def test_open_answers_are_read_among_all_that_is_right_in_their_category():
    other = Item("other", "How many?", ("three",), category="count")
    items = [OPEN, other, Item("far", "Where?", ("left",))]
    assert vocabularies(items)["open"] == vocabularies(items)["other"] == ("two", "a pair", "three")
    assert rights(items) == {"open": {0, 1}, "other": {2}, "far": {0}}
    response = [Trial("open", text) for text in ("2", "A pair.", "There are 3", "two or three", "left")]
    assert picks(items, response)["open"] == [0, 1, 2, None, None]
