from __future__ import annotations

import json
from pathlib import Path

import pytest

from limner.data.question_sets import Item, Trial, inline_options, read_answers, read_questions, write_questions
from limner.errors import InputError

RED = {"id": "a", "question": "What colour?", "options": ["red", "blue"], "answer": "A", "category": "colour"}
OPEN = {"id": "b", "question": "How many?", "answer": ["two", "2"], "image": "pictures/b.png"}


def written(folder: Path, *rows: object, name: str = "set.jsonl") -> Path:
    file = folder / name
    file.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows) + "\n")
    return file


def test_questions_are_read(tmp_path):
    red, open_ = read_questions(written(tmp_path, RED, "", OPEN))
    assert red == Item("a", "What colour?", ("red",), ("red", "blue"), category="colour")
    assert red.right == 0
    assert open_ == Item("b", "How many?", ("two", "2"), image=tmp_path / "pictures" / "b.png")


def test_an_answer_may_be_a_letter_or_the_words_of_an_option(tmp_path):
    by_word, by_letter = read_questions(
        written(tmp_path, {**RED, "answer": "blue"}, {**RED, "id": 7, "answer": "B", "options": ["B", "A"]})
    )
    assert by_word.answers == ("blue",)
    assert (by_letter.id, by_letter.answers) == ("7", ("A",))  # the letter comes before words that look like one


def test_a_question_without_an_id_is_called_by_its_line(tmp_path):
    row = {key: value for key, value in RED.items() if key != "id"}
    assert [item.id for item in read_questions(written(tmp_path, "", row, row))] == ["2", "3"]


def test_what_is_written_is_read_again(tmp_path):
    items = (
        Item(
            "a",
            "What\u2028colour?",
            ("blue",),
            ("red", "blue"),
            tmp_path / "x" / "a.png",
            "colour",
            frozenset({"text"}),
        ),
        Item("b", "How many?", ("two", "2"), planted=frozenset()),
        Item("c", "Is there a heart?", ("no",), image=tmp_path.parent / "c.png"),
    )
    write_questions(tmp_path / "new" / "set.jsonl", items)
    assert read_questions(tmp_path / "new" / "set.jsonl") == items
    write_questions(tmp_path / "set.jsonl", items)
    assert json.loads((tmp_path / "set.jsonl").read_text().split("\n")[0])["image"] == "x/a.png"


@pytest.mark.parametrize(
    ("question", "stem", "options"),
    [
        ("Which one?\nOptions: A: red, B: blue and green, C: 1.5", "Which one?", ("red", "blue and green", "1.5")),
        ("Which one? Options: A. red B. blue", "Which one?", ("red", "blue")),
        ("Which one?\n(A) red (B) blue", "Which one?", ("red", "blue")),
        (
            "Which one?\nA. red\nB. blue\nAnswer with the letter.",
            "Which one?\nAnswer with the letter.",
            ("red", "blue"),
        ),
        ("哪一个？\n选项：A.红 B.蓝", "哪一个？", ("红", "蓝")),
        ("A person stands at B. Where?", "A person stands at B. Where?", ()),
        ("Options: many", "Options: many", ()),
        ("What?\nOptions: A: red, C: blue", None, ()),
        ("What?\nOptions: A: red, B: red", None, ()),
        ("No options here", None, ()),
    ],
)
def test_options_inside_a_question_are_taken_apart(question, stem, options):
    assert inline_options(question) == (stem or question, options)


def test_mmstar_s_own_rows_are_read(tmp_path):
    row = {"id": 0, "question": "Which mood?\nOptions: A: Cozy, B: Anxious, C: Happy, D: Angry", "answer": "C"}
    (item,) = read_questions(written(tmp_path, row))
    assert (item.question, item.answers, item.right) == ("Which mood?", ("Happy",), 2)


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("{", "is not JSON"),
        ("[]", "is no JSON object"),
        ({"answer": "x"}, "asks nothing"),
        ({**RED, "question": " "}, "asks nothing"),
        ({**RED, "options": "red"}, "no list of 2 to 26 strings"),
        ({**RED, "options": ["red"]}, "no list of 2 to 26 strings"),
        ({**RED, "options": ["red", ""]}, "no list of 2 to 26 strings"),
        ({**RED, "options": ["red", "red"]}, "same option twice"),
        ({**RED, "answer": "C"}, "has the answer 'C', which is no option: give the letter A to B"),
        ({**RED, "answer": ["red", "blue"]}, "which is no option"),
        ({**OPEN, "answer": 3}, 'has no "answer"'),
        ({**OPEN, "answer": []}, 'has no "answer"'),
        ({**OPEN, "image": 3}, "no string: put it in quotes"),
        ({**OPEN, "category": []}, "no string: put it in quotes"),
        ({**OPEN, "planted": ["luck"]}, "other than text, question, leaked"),
        ({**RED, "id": "ok"}, "has the id 'ok' a second time"),
    ],
)
def test_a_wrong_question_is_named_by_file_and_line(tmp_path, row, sentence):
    file = written(tmp_path, {**OPEN, "id": "ok"}, row)
    with pytest.raises(InputError) as caught:
        read_questions(file)
    assert str(caught.value).startswith(f"line 2 of '{file}' ")
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_hold_no_questions_are_named(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_questions(tmp_path / "nowhere.jsonl")
    with pytest.raises(InputError, match="asks nothing: write one question per line"):
        read_questions(written(tmp_path, ""))
    (tmp_path / "bytes.jsonl").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(InputError, match="no UTF-8"):
        read_questions(tmp_path / "bytes.jsonl")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        write_questions(tmp_path / "file" / "set.jsonl", [])


def test_answers_are_read(tmp_path):
    items = read_questions(written(tmp_path, RED, OPEN))
    rows = [
        {"id": "a", "answer": "A"},
        {"id": "a", "order": [1, 0], "answer": "(B) red", "prompt": "passed over"},
        {"id": "a", "order": [1, 0], "repeat": 1, "answer": ""},
        {"id": "b", "answer": "2", "order": []},
    ]
    trials = read_answers(written(tmp_path, *rows, name="answers.jsonl"), items)
    assert trials == (Trial("a", "A"), Trial("a", "(B) red", (1, 0)), Trial("a", "", (1, 0)), Trial("b", "2"))


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ({"id": "z", "answer": "A"}, "answers 'z', which is no question of the set"),
        ({"id": "a"}, 'has no "answer" that is a string'),
        ({"id": "a", "answer": 3}, 'has no "answer" that is a string'),
        ({"id": "a", "answer": "A", "order": [0]}, "none of the 2 options"),
        ({"id": "a", "answer": "A", "order": [1, 1]}, "none of the 2 options"),
        ({"id": "a", "answer": "A", "order": [True, False]}, "none of the 2 options"),
        ({"id": "b", "answer": "A", "order": [0]}, "none of the 0 options"),
        ({"id": "a", "answer": "A", "repeat": "x"}, "no whole number"),
        ({"id": "b", "answer": "again"}, "in the same order again"),
    ],
)
def test_a_wrong_answer_is_named_by_file_and_line(tmp_path, row, sentence):
    items = read_questions(written(tmp_path, RED, OPEN))
    file = written(tmp_path, {"id": "b", "answer": "two"}, row, name="answers.jsonl")
    with pytest.raises(InputError) as caught:
        read_answers(file, items)
    assert str(caught.value).startswith(f"line 2 of '{file}' ")
    assert sentence in str(caught.value)


def test_a_missing_answer_is_named(tmp_path):
    items = read_questions(written(tmp_path, RED, OPEN))
    with pytest.raises(InputError, match=r"does not answer question 'a' \(1 of 2 are missing\)"):
        read_answers(written(tmp_path, {"id": "b", "answer": "two"}, name="answers.jsonl"), items)
