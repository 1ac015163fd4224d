"""What a blind guess among the answers would get."""

from __future__ import annotations

import pytest

from limner.data.conversations import Turn
from limner.evaluate.answering import chance


def test_every_kind_has_its_own_answers() -> None:
    response = [("colour", "Red."), ("colour", "red"), ("colour", "blue"), ("count", "two")]
    guessed = chance([Turn("?", answer, kind) for kind, answer in response])
    assert guessed == pytest.approx({"colour": 1 / 2, "count": 1.0, "overall": (3 * 1 / 2 + 1) / 4})
