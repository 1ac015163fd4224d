"""LLaVA JSON and COCO captions: what is read, what is checked, what is said about what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

ROWS: list[dict[str, Any]] = [
    {
        "id": "a",
        "image": "one/red.png",
        "conversations": [
            {"from": "human", "value": "<image>\nWhat colour is it?"},
            {"from": "gpt", "value": " Red. "},
            {"from": "human", "value": "Is it a star?"},
            {"from": "gpt", "value": "Yes."},
        ],
    },
    {
        "id": 7,
        "image": "blue.png",
        "conversations": [
            {"from": "gpt", "value": "Hello."},
            {"from": "human", "value": "What colour?\n<image>"},
            {"from": "gpt", "value": "Blue."},
            {"from": "human", "value": "Thanks."},
        ],
    },
    {"conversations": [{"from": "user", "value": "1 + 1?"}, {"from": "assistant", "value": "2"}]},
]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    (folder / "one").mkdir(parents=True)
    Image.new("RGB", (20, 10), (255, 0, 0)).save(folder / "one" / "red.png")
    Image.new("RGB", (8, 8), (0, 0, 255)).save(folder / "blue.png")
    return folder


def written(folder: Path, content: Any) -> Path:
    file = folder / "conversations.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


def test_llava_conversations(tmp_path, pictures):
    from limner.data.conversation_file import ConversationFile
    from limner.data.conversations import Conversations

    source = ConversationFile.read(written(tmp_path, ROWS), pictures, size=16)
    assert isinstance(source, Conversations)
    assert len(source) == 3
    first, second, third = (source[index] for index in range(3))
    assert [tuple(turn[:2]) for turn in first.turns] == [("What colour is it?", "Red."), ("Is it a star?", "Yes.")]
    assert [tuple(turn[:2]) for turn in second.turns] == [("What colour?", "Blue.")]
    assert [tuple(turn[:2]) for turn in third.turns] == [("1 + 1?", "2")]
    assert not first.apart
    assert first.image.shape == (16, 16, 3)
    assert first.image[0, 0].tolist() == [255, 255, 255]  # a wide picture is padded above
    assert first.image[8, 8].tolist() == [255, 0, 0]
    assert third.image is None
    assert ConversationFile.read(tmp_path / "conversations.json", pictures, None)[0].image.shape == (10, 20, 3)
    assert [one.image is None for one in map(source.pictured().__getitem__, range(2))] == [False, False]
    most, last = source.parted(1)
    assert (len(most), last[0].turns) == (2, third.turns)


def test_pictures_lie_beside_the_file_if_nothing_is_said(pictures):
    from limner.data.conversation_file import ConversationFile

    assert ConversationFile.read(written(pictures, ROWS), None, size=4)[1].image[0, 0].tolist() == [0, 0, 255]


def test_coco_captions(tmp_path, pictures):
    from limner.data.conversation_file import ConversationFile
    from limner.data.conversations import DESCRIBE

    content = {
        "info": {},
        "images": [
            {"id": 9, "file_name": "blue.png"},
            {"id": 4, "file_name": "one/red.png"},
            {"id": 5, "file_name": "x"},
        ],
        "annotations": [
            {"image_id": 4, "caption": "A red\n thing."},
            {"image_id": 9, "caption": "All is blue."},
            {"image_id": 4, "caption": "Red."},
        ],
    }
    source = ConversationFile.read(written(tmp_path, content), pictures, size=8, mode="crop")
    assert len(source) == 2
    blue, red = source[0], source[1]
    assert [turn.answer for turn in blue.turns] == ["All is blue."]
    assert [turn.answer for turn in red.turns] == ["A red thing.", "Red."]
    assert {turn.question for turn in red.turns} == {DESCRIBE}
    assert red.apart
    assert red.image[0, 0].tolist() == [255, 0, 0]


def test_every_conversation_once_then_again_in_another_order():
    from limner.data.conversation_file import Reshuffled
    from limner.data.conversations import Conversation, Turn

    class Numbers:
        def __len__(self) -> int:
            return 20

        def __getitem__(self, index: int) -> Conversation:
            return Conversation(None, (Turn("", str(index)),))

    source = Reshuffled(Numbers(), seed=3)
    said = [source[index].turns[0].answer for index in range(40)]
    first, second = said[:20], said[20:]
    assert sorted(first) == sorted(second) == sorted(map(str, range(20)))
    assert first != second
    assert [Reshuffled(Numbers(), seed=3)[index].turns[0].answer for index in (25, 4)] == [said[25], said[4]]
    assert [Reshuffled(Numbers(), seed=4)[index].turns[0].answer for index in range(20)] != first


def changed(**change: Any) -> list[dict[str, Any]]:
    return [ROWS[2], {**ROWS[0], **change}]


def said(*turns: tuple[str, str]) -> list[dict[str, Any]]:
    return changed(conversations=[{"from": who, "value": text} for who, text in turns])


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("[", "is not JSON"),
        ({"rows": []}, "is neither a list of LLaVA conversations nor COCO captions"),
        ([], "holds no conversation"),
        ([[]], "row 1 of '.*' is no object"),
        (changed(image=["a.png"]), r"row 2 \(id 'a'\) of '.*' has an \"image\" that is no path"),
        (changed(image="../red.png"), "leads out of the folder of pictures"),
        (changed(image="C:\\red.png"), "leads out of the folder of pictures"),
        (
            changed(image="green.png"),
            r"row 2 \(id 'a'\) of '.*' shows 'green.png', which is not in '.*pictures': add it",
        ),
        (changed(image=None), "marks a picture by <image> but names none"),
        (changed(conversations="hello"), 'has no "conversations"'),
        (changed(conversations=[{"value": "a"}]), 'has a turn that is no {"from"'),
        (said(("human", "<image> <image> Compare."), ("gpt", "Alike.")), "marks 2 pictures"),
        (said(("human", "a"), ("human", "b"), ("gpt", "c")), "lets the human speak twice in a row"),
        (said(("gpt", "a"), ("human", "b")), "has no answer"),
        ({"images": {}, "annotations": []}, "\"images\" of '.*' is no list"),
        ({"images": [{"file_name": "a"}], "annotations": []}, "image 1 of '.*' has no \"id\""),
        ({"images": [{"id": 1, "file_name": "/a"}], "annotations": []}, 'has a "file_name" that is no path'),
        (
            {"images": [{"id": 1, "file_name": "a"}] * 2, "annotations": []},
            "image 2 of '.*' has the id 1 a second time",
        ),
        ({"images": [], "annotations": [{"bbox": []}]}, "annotation 1 of '.*' has no \"caption\""),
        ({"images": [], "annotations": [{"image_id": 3, "caption": "a"}]}, "is about image 3, which is not there"),
        (
            {"images": [{"id": 1, "file_name": "a"}], "annotations": [{"image_id": 1, "caption": " "}]},
            "annotation 1 of '.*' says nothing",
        ),
    ],
)
def test_what_is_wrong_is_named(tmp_path, pictures, content, sentence):
    from limner.data.conversation_file import ConversationFile
    from limner.errors import InputError

    with pytest.raises(InputError, match=sentence):
        ConversationFile.read(written(tmp_path, content), pictures, size=16)


def test_what_is_not_there_is_named(tmp_path):
    from limner.data.conversation_file import ConversationFile
    from limner.errors import InputError

    with pytest.raises(InputError, match="cannot be read"):
        ConversationFile.read(tmp_path / "conversations.json", None, size=16)
    with pytest.raises(InputError, match="is not a folder: give the one that the pictures of"):
        ConversationFile.read(written(tmp_path, ROWS), tmp_path / "nowhere", size=16)


def test_a_broken_picture_is_named_when_it_is_asked_for(tmp_path, pictures):
    from limner.data.conversation_file import ConversationFile
    from limner.errors import InputError

    (pictures / "blue.png").write_bytes(b"nothing")
    source = ConversationFile.read(written(tmp_path, ROWS), pictures, size=16)
    with pytest.raises(InputError, match=r"blue.png' is no picture"):
        source[1]


def test_check_counts_what_is_sound_and_what_is_not(command_line, tmp_path, pictures):
    file = written(tmp_path, ROWS)
    sound = command_line("data", "check", file, "--pictures", pictures)
    assert sound.code == 0
    told = "LLaVA conversations with 3 sound rows, 1 of them without a picture, 4 answers to learn, 2 sound pictures"
    assert told in sound.out
    assert "nothing is broken" in sound.out
    (pictures / "blue.png").write_bytes(b"nothing")
    written(tmp_path, [*ROWS, {**ROWS[0], "image": "gone.png"}, {"id": 3}])
    report = command_line("data", "check", file, "--pictures", pictures, "--json")
    assert report.code == 1
    found = json.loads(report.out)
    assert (found["rows"], found["alone"], found["pictures"], found["broken"]) == (4, 1, 1, 3)
    assert "row 5 (id 3)" in found["first"]
    assert found["sizes"] == {"20x10": 1}
    refused = command_line("data", "check", pictures, "--pictures", pictures)
    assert (refused.code, "--pictures belongs to a JSON file" in refused.err) == (2, True)
