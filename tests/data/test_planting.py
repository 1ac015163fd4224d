"""Planted question sets: the truth that they claim is the truth."""

from __future__ import annotations

from collections import Counter

import pytest
from PIL import Image

from limner.data.question_sets import read_questions, write_questions
from limner.data.scenes import Scenes
from limner.data.scenes.planting import LEAKED, NATURAL, QUESTION, TEXT, TITLES, facts, plant, write_pictures
from limner.data.scenes.scene import random_for
from limner.errors import InputError

COUNTS = {"natural_count": 80, "text": 20, "question": 20, "leaked": 20}


@pytest.fixture(scope="module")
def planted():
    return plant(Scenes(3, split="heldout", size=32, objects=(1, 4)), **COUNTS, seed=1)


def test_there_are_as_many_of_each_kind_as_asked_for(planted):
    kinds = Counter(item.planted for item, _ in planted)
    assert kinds == {NATURAL: 80, TEXT: 20, QUESTION: 20, LEAKED: 20}
    assert [item.id for item, _ in planted] == [str(number) for number in range(140)]


def test_every_question_is_sound(planted):
    for item, _ in planted:
        assert item.answers[0] in item.options
        assert 2 <= len(item.options) <= 4
        assert len(set(item.options)) == len(item.options)
    right = Counter(item.right for item, _ in planted if len(item.options) == 4)
    assert min(right[place] for place in range(4)) > 8  # no place is favoured


def test_natural_and_leaked_questions_look_alike_and_have_titles_of_their_own(planted):
    titled = [item for item, _ in planted if item.planted in (NATURAL, LEAKED)]
    titles = [item.question.split("'")[1] for item in titled]
    assert len(set(titles)) == len(titles) == 100
    assert set(titles) <= set(TITLES)
    assert {item.category for item in titled if item.planted == LEAKED} <= {item.category for item in titled}


def test_answers_are_those_of_the_scene(planted):
    checked = 0
    for item, scene in planted:
        if item.planted == NATURAL and item.category in ("colour", "count"):
            if item.category == "count":
                assert item.answers[0] == ("one", "two", "three", "four")[len(scene.things) - 1]
            else:
                (thing,) = [thing for thing in scene.things if f"the {thing.shape}?" in item.question]
                assert item.answers[0] == thing.colour
            checked += 1
    assert checked > 15


def test_only_the_planted_questions_hold_their_answer(planted):
    from limner.evaluate.flags import answer_in_question

    for item, _ in planted:
        assert answer_in_question(item, item.options) == ("question" in item.planted), item


def test_facts_are_many_and_differ():
    known = facts(random_for(0))
    assert len({item.question for item in known}) == len(known) >= 90
    assert {item.category for item in known} == {"colour", "count", "size"}


def test_the_same_seed_plants_the_same(planted):
    scenes = Scenes(3, split="heldout", size=32, objects=(1, 4))
    again, other = plant(scenes, **COUNTS, seed=1), plant(scenes, **COUNTS, seed=2)
    assert [item for item, _ in again] == [item for item, _ in planted]
    assert [item for item, _ in other] != [item for item, _ in planted]


def test_too_many_are_refused():
    scenes = Scenes(0, size=32)
    with pytest.raises(InputError, match="facts and"):
        plant(scenes, text=1000)
    with pytest.raises(InputError, match=f"{len(TITLES)} titles"):
        plant(scenes, natural_count=len(TITLES), leaked=1)


def test_pictures_are_written_beside_the_questions(planted, tmp_path):
    items = write_pictures(planted[:5], tmp_path)
    write_questions(tmp_path / "questions.jsonl", items)
    assert read_questions(tmp_path / "questions.jsonl") == items
    for item, (_, scene) in zip(items, planted[:5], strict=True):
        with Image.open(item.image) as picture:
            assert picture.tobytes() == scene.image.tobytes()
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        write_pictures(planted[:1], tmp_path / "file")
