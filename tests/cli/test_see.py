"""``limner see``: what it says is what the model says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image


def test_a_question_is_answered_and_a_picture_described(command_line, seeing, picture):
    import limner

    model = limner.load(seeing)
    asked = command_line("see", picture, "What colour is the heart?", "--model", seeing)
    assert (asked.code, asked.out) == (0, model.see(picture, "What colour is the heart?") + "\n")
    assert command_line("see", picture, "-m", seeing).out == model.see(picture) + "\n"


def test_words_become_a_page_and_an_object(command_line, seeing, picture, tmp_path):
    import limner

    page = tmp_path / "pages" / "words.png"
    outcome = command_line("see", picture, "--words", page, "--model", seeing, "--json")
    said = json.loads(outcome.out)
    assert (said["model"], said["image"], said["question"]) == (seeing, str(picture), None)
    assert said["words"]["file"] == str(page)
    read = limner.load(seeing).words(picture)
    assert {**said["words"], "file": ""} == {**read.to_json(5), "file": ""}
    assert (read.reading, read.grid, len(read.patches[1][1])) == ("mixture", (2, 2), 5)
    with Image.open(page) as written:
        assert written.width == 2 * 720 + 3 * 32
    assert f"wrote {page}" in command_line("see", picture, "--words", page, "--model", seeing).out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere.png"], "'nowhere.png' cannot be opened"),
        (["{picture}", " "], "the question is empty"),
        (["{picture}", "--words", "words.txt"], "does not end like a picture"),
        (["{picture}", "--model", "vae-64"], "vae-64 cannot see"),
        (["{picture}", "--model", "nothing"], "there is no model 'nothing'"),
    ],
)
def test_what_cannot_be_done_is_said(command_line, picture, arguments, said):
    outcome = command_line("see", *[argument.format(picture=picture) for argument in arguments])
    assert (outcome.code, outcome.out) == (2, "")
    assert said in outcome.err
    assert not Path("words.txt").exists()
