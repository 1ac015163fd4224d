"""MMStar's scorer against the authors' own, on the answers that they shipped."""

from __future__ import annotations

from string import ascii_uppercase as LETTERS

import pytest
import torch
from tests.parity.goldens import agree, goldens

from limner.evaluate.extraction import first_letter_right, read_option
from limner.evaluate.mmstar import ALL_QUESTIONS, Row, official_scores


def rows(golden):
    return [Row(r["answer"], r["prediction"], r["category"], r["l2_category"]) for r in golden.card["rows"]]


@pytest.mark.parametrize("golden", goldens("mmstar_scoring"))
def test_every_decision_is_the_official_one(golden):
    found = torch.tensor([first_letter_right(row.answer, row.response) for row in rows(golden)])
    assert torch.equal(found, golden["out.correct"].bool())


@pytest.mark.parametrize("golden", goldens("mmstar_scoring"))
def test_every_score_is_the_official_one(golden):
    scores = official_scores(rows(golden))
    assert set(scores) == set(golden.card["score_keys"])
    found = torch.tensor([scores[key] for key in golden.card["score_keys"]])
    agree(found, golden["out.scores"], 1e-6)


@pytest.mark.parametrize("golden", goldens("mmstar_scoring"))
def test_the_constants_can_be_left_out(golden):
    answered = rows(golden)
    honest, official = official_scores(answered, fixed_counts=False), official_scores(answered)
    assert honest["final score"] == pytest.approx(official["final score"] * ALL_QUESTIONS / len(answered))


@pytest.mark.parametrize("golden", goldens("mmstar_scoring"))
def test_plain_letters_are_read_alike_by_both_rules(golden):
    plain = [row for row in rows(golden) if row.answer.isalpha() and len(row.answer) == len(row.response.strip()) == 1]
    for row in plain:
        place = LETTERS.index(row.answer.upper())
        read = read_option(row.response, [""] * max(place + 1, 4))
        assert (read == place) == first_letter_right(row.answer, row.response)
