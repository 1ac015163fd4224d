from __future__ import annotations

import pytest

COLOURS = ("red", "orange", "blue", "dark red")


@pytest.mark.parametrize(
    ("response", "meant"),
    [
        *[
            (response, 2)
            for response in ("C", "c", "(C)", "[C]", "**C**", "C.", " C)\n", "C: blue", "(c) blue", "C, blue")
        ],
        *[
            (response, 1)
            for response in ("The answer is: B", "the answer is (B)", "It is B.", "Answer: b", "option B", "`B`")
        ],
        ("The correct answer is (a) red", 0),
        ("First I thought the answer is A, but the answer is B", 1),
        ("There is red and there is blue.\nSo I choose:\n**B**", 1),
        ("B: blue", 1),  # the letter outweighs the words
        ("It is blue.", 2),
        ("A blue one", 2),
        ("dark red", 3),
        ("Dark red, I think", 3),
        ("RED", 0),
        ("I would choose B here", 1),
        ("Not red but blue", 2),
        *[(response, None) for response in ("Cannot determine", "Do not know", "Because", "An apple", "", "?")],
        *[(response, None) for response in ("A or B", "both A and B", "red or blue", "E", "a cat", "It is not B")],
        ("the answer is a banana", None),
    ],
)
def test_what_was_meant_is_read(response, meant):
    from limner.evaluate.extraction import read_option

    assert read_option(response, COLOURS) == meant


def test_numbers_are_words_and_digits():
    from limner.evaluate.extraction import read_option, read_phrase

    assert read_option("There are 3.", ("two", "three", "four")) == 1
    assert read_phrase("three", ("2", "3")) == 1
    assert read_phrase("-5", ("5", "-5")) == 1
    assert read_phrase("1.11 MPa", ("1.1 MPa", "1.11 MPa")) == 1
    assert read_phrase("v_1 > v_2", ("v_1 < v_2", "v_1 > v_2")) == 1
    assert read_option("(B) 0.21", ("0.12", "0.21")) == 1


@pytest.mark.parametrize(
    ("answer", "response", "right"),
    [
        *[
            ("C", response, True)
            for response in ("C", "c", "(C", "option C", "The answer is C", "Cannot determine", " C\nx")
        ],
        *[("A", response, True) for response in ("An apple", "A")],
        *[
            ("B", response, False)
            for response in ("[B]", "**B**", "( B)", "The answer is: B", "the answer is (B)", "It is B")
        ],
        *[("A", response, False) for response in ("", "(", "option ", "the answer is")],
        ("AB", "AB", False),
        ("", "", False),
    ],
)
def test_the_official_rule_looks_at_the_first_letter(answer, response, right):
    from limner.evaluate.extraction import first_letter_right

    assert first_letter_right(answer, response) is right


@pytest.mark.parametrize(
    ("response", "read", "official"),
    [
        ("Yes", True, True),
        ("no.", False, False),
        ("No, there is not.", False, False),
        ("Yes. There is no doubt.", True, True),
        ("There is not", False, False),
        ("", None, True),
        ("maybe", None, True),
        ("NO", False, True),
    ],
)
def test_yes_and_no(response, read, official):
    from limner.evaluate.extraction import official_yes_no, read_yes_no

    assert read_yes_no(response) is read
    assert official_yes_no(response) is official


def test_official_scores_refuse_what_they_cannot_divide():
    from limner.errors import InputError
    from limner.evaluate.mmstar import AXES, Row, official_scores

    row = Row("A", "A", "math", "geometry")
    with pytest.raises(InputError, match=r"no axis 'math\(algebra\)'"):
        official_scores([row._replace(axis="algebra")])
    with pytest.raises(InputError, match=r"no question is about 'coarse perception\(image scene and topic\)'"):
        official_scores([row])
    every = [Row("A", "A", capability, axis) for capability, axes in AXES.items() for axis in axes]
    assert official_scores(every)["final score"] == 18 / 1500
    assert official_scores(every)["math"] == 3 / 250
    assert set(official_scores(every, fixed_counts=False).values()) == {1.0}
