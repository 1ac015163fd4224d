"""A score does not depend on how an answer is phrased: models that are always right, never right, and random."""

from __future__ import annotations

import random

import numpy as np
import pytest
from tests.reliability.sentences import NO, OPEN, UNDECIDED, YES
from tests.reliability.styles import EVERY_LETTER, FAMILIES, responses

from limner.data.conversations import Turn
from limner.data.question_sets import Item, Trial
from limner.evaluate.answering import answering_scores
from limner.evaluate.asking import orders, picks, prompts, rights
from limner.evaluate.extraction import read_option, read_phrase, read_yes_no, same
from limner.evaluate.probes import probe_scores

WORDS = (
    ("heart", "star", "circle", "square"),
    ("left", "right", "top", "bottom"),  # words that judge, too
    ("two", "three", "four", "one"),
    ("dark red", "red", "blue", "light blue"),  # words within words
    ("a cat on a mat", "a dog", "an owl", "the sun"),
)


@pytest.mark.parametrize("options", WORDS, ids="/".join)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_that_is_always_right_scores_one(family, options, trials, record):
    every = [(text, place) for place in range(4) for _, text in responses(options, place, family)]
    random.Random(0).shuffle(every)
    chosen = every[: trials(60, len(every))]
    wrong = [(text, place) for text, place in chosen if read_option(text, options) != place]
    assert not wrong, wrong[:3]
    record("answers: the option that was meant is read, in any style", len(chosen), len(chosen) - len(wrong))


@pytest.mark.parametrize("text", EVERY_LETTER)
def test_who_names_all_letters_has_chosen_none(text):
    assert read_option(text, WORDS[0]) is None


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_that_guesses_scores_chance(family):
    """In every order of the options the guess is what is read, so that the score is the share of lucky guesses."""
    items = [Item(str(i), "Which?", (WORDS[0][i % 4],), WORDS[0]) for i in range(40)]
    rng, guesses, asked = random.Random(1), [], []
    for item in items:
        for order in orders(item, 4):
            place = rng.randrange(4)
            shown = [item.options[i] for i in order]
            guesses.append((item.id, order[place]))
            asked.append(Trial(item.id, rng.choice(list(responses(shown, place, family)))[1], order))
    made = picks(items, asked)
    right = rights(items)
    lucky = sum(guess in right[id] for id, guess in guesses)
    assert sum(pick in right[id] for id in made for pick in made[id]) == lucky
    assert 0.15 < lucky / len(guesses) < 0.35


@pytest.mark.parametrize(
    ("texts", "meant"), [(YES, True), (NO, False), (UNDECIDED, None)], ids=["yes", "no", "neither"]
)
def test_yes_and_no_in_whole_sentences(texts, meant, record):
    wrong = [text for text in texts if read_yes_no(text) is not meant]
    assert not wrong, wrong[:5]
    record("answers: yes and no are read from sentences", len(texts), len(texts) - len(wrong))


@pytest.mark.parametrize(("question", "said", "true", "right"), OPEN)
def test_open_answers(question, said, true, right):
    assert same(said, true, question) is right


@pytest.mark.parametrize(
    ("text", "dog", "cat"),
    [
        ("The image shows a dog and no cat.", True, False),
        ("There is no dog, but there is a cat.", False, True),
        ("There is a table. There is no dog. A cat is sleeping under it.", False, True),
        ("I see a cat and a dog.", True, True),
        ("No.", False, False),
    ],
)
def test_sentences_are_heard_where_they_speak_of_what_is_asked(text, dog, cat):
    assert read_yes_no(text, "Is there a dog in the picture?") is dog
    assert read_yes_no(text, "Is there a cat in the picture?") is cat


def test_probes_are_scored_however_their_labels_are_spelled():
    for yes, no in (("yes", "no"), ("Yes", "No"), ("YES.", "NO."), ("是", "否"), ("true", "false"), ("Sí", "No")):
        items = [Item(str(i), "Is there a dog?", (yes if i % 2 else no,), category="dogs") for i in range(4)]
        found = probe_scores(items, [Trial(str(i), "Yes, it is." if i % 2 else "There isn't any.") for i in range(4)])
        assert found["dogs"].accuracy == found["dogs"].f1 == 1.0, (yes, no)
        chosen = [Item("0", "Is there a dog?", (yes,), (no, yes))]
        assert picks(chosen, [Trial("0", "Yes, no doubt about it.")]) == {"0": [1]}, (yes, no)


def test_open_questions_about_options_in_the_picture():
    assert read_phrase("The answer is A.", ("B", "A", "C")) == 1
    assert read_phrase("A", ("B", "C")) is None
    items = [Item(letter, "Which?", (letter,)) for letter in "ABCD"]
    made = picks(items, [Trial(letter, f"The right answer is {letter}. The others are wrong.") for letter in "ABCD"])
    assert all(pick in rights(items)[id] for id in made for pick in made[id])


def test_a_model_that_answers_in_sentences_is_right():
    turns = [
        Turn("How many dogs are there?", "two", "count"),
        Turn("What colour is the bus?", "red", "colour"),
        Turn("Is there a cat?", "no", "there"),
    ]
    answers = ["There are 2 dogs.", "The bus is red.", "I don't see a cat."]
    blank = [np.zeros((1, 1, 3), np.uint8)] * 3
    scores = answering_scores(lambda images, questions: answers if images is not None else ["?"] * 3, blank, turns)
    assert scores["qa/overall"] == 1.0
    assert scores["blind/overall"] == 0.0


def test_a_prompt_lists_its_options_once(tmp_path):
    """Options written into the question are the options, asked in every order."""
    from limner.data.question_sets import read_questions

    (tmp_path / "q.jsonl").write_text('{"question": "Which?\\n(A) red\\n(B) blue", "answer": "B"}\n')
    items = read_questions(tmp_path / "q.jsonl")
    asked = prompts(items, shuffles=2)
    made = picks(items, [Trial("1", "blue", tuple(row["order"])) for row in asked])
    assert made == {"1": [1, 1]}
    assert rights(items) == {"1": frozenset([1])}
    assert all(row["prompt"].count("blue") == 1 for row in asked)


SHAPES = WORDS[0]
LISTED = "\n".join(f"{letter}. {word}" for letter, word in zip("ABCD", SHAPES, strict=True))


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("The right answer is B. Option A is wrong, as its outline differs.", 1),
        ("Answer: C. That rules out option D.", 2),
        ("It is D; option B shows a different outline.", 3),
        ("The answer is C. Many would take option A here.", 2),
        *[(f"{LISTED}\nAnswer: {letter}", place) for place, letter in enumerate("ABCD")],
        *[
            (
                "\n".join(
                    f"({x}) {word}: {'yes' if x == letter else 'no'}" for x, word in zip("ABCD", SHAPES, strict=True)
                )
                + f"\nThe answer is ({letter}).",
                place,
            )
            for place, letter in enumerate("ABCD")
        ],
        *[
            (text.format(letter, chr(ord(letter) + 0xFEE0)), place)
            for place, letter in enumerate("ABCD")
            for text in (
                *("答案是{0}", "答案：{0}", "正确答案为 {0}", "选{0}。", "我选择 {0}", "选项{0}", "{1}", "（{1}）"),
                *("정답은 {0}입니다", "<think>Perhaps A, perhaps D.</think>{0}", "<answer>{0}</answer>"),
            )
        ],
        *[
            (text, None)
            for text in (
                *("A, B, C, D", "(A) and (B)", "(A) or (B)", "A, B", "Answer: A and C", "Answer: A, C"),
                *("The answer is A or B", "A) heart or B) star"),
            )
        ],
    ],
)
def test_reported_answers_to_options(text, place):
    """As users of other software reported them (VLMEvalKit 1175 and 1552, sglang 23864, opencompass 1933)."""
    assert read_option(text, SHAPES) == place


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("Yes, the stone bears a notice.", True),
        ("No, there is none.", False),
        ("There is no dog in it.", False),
        ("There isn't any dog.", False),
        ("I do not see a dog.", False),
        ("The picture does not show a dog.", False),
        ("Yes, no doubt about it.", True),
        ("Yes.\nNo cat is there.", True),
        ("Nope", False),
        ("是", True),
        ("不是", False),
        ("Ja.", True),
        ("Nein.", False),
    ],
)
def test_reported_yes_and_no(text, meant):
    """LogicCheckGPT 1, VLMEvalKit 73, POPE 19."""
    assert read_yes_no(text) is meant
