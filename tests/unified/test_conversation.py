"""Rows of conversations: what is learned, what sees what, at which positions."""

from __future__ import annotations

import numpy as np
import pytest

from limner.data.conversations import Conversation, Turn
from limner.errors import InputError
from limner.languages.subwords import Subwords
from limner.unified.conversation import pack, pack_conversations
from limner.unified.segments import NOTHING, PADDING

TURNS = (Turn("what colour ?", "red"), Turn("how many ?", "two things"))


@pytest.fixture(scope="module")
def words() -> Subwords:
    texts = [part for turn in TURNS for part in turn] * 5
    return Subwords.trained(texts, size=200, length=10, speaks=True)


def test_only_answers_and_their_ends_are_learnt(words: Subwords) -> None:
    packed = pack([TURNS], words, patches=2)
    learnt = packed.targets[0][packed.targets[0] != NOTHING].tolist()
    assert learnt == [*words.ids("red"), words.end(), *words.ids("two things"), words.end()]
    for index in (packed.targets[0] != NOTHING).nonzero()[:, 0].tolist():
        assert packed.targets[0, index] == packed.ids[0, index + 1], "a target is the subword that comes next"


def test_pictures_come_first_and_turns_apart_begin_where_they_end(words: Subwords) -> None:
    packed = pack([TURNS], words, patches=2)
    assert packed.of("seen")[0].nonzero()[:, 0].tolist() == [0, 1]
    first, second = (packed.branches[0] == number for number in (1, 2))
    assert packed.positions[0][first].tolist() == [2 + i for i in range(int(first.sum()))]
    assert packed.positions[0][second].tolist() == [2 + i for i in range(int(second.sum()))]
    visible = packed.visible()[0]
    assert visible[:, :2].all(), "a turn does not see the picture"
    assert not visible[second][:, first].any()
    assert visible[0, 1], "a picture is not seen both ways"


def test_turns_of_a_dialogue_are_one_text(words: Subwords) -> None:
    packed = pack([TURNS], words, patches=2, apart=False)
    count = packed.ids.shape[1]
    assert packed.positions[0].tolist() == list(range(count))
    assert packed.visible()[0, -1].all()
    assert not packed.visible()[0, 2, 3:].any()


def test_rows_are_padded_and_counted(words: Subwords) -> None:
    packed = pack([TURNS, TURNS[:1]], words, patches=2)
    short = int(packed.lengths()[1])
    assert packed.lengths()[0] == packed.ids.shape[1] > short
    assert (packed.branches[1, short:] == PADDING).all()
    assert (packed.targets[1, short:] == NOTHING).all()
    assert not packed.visible()[1, :short, short:].any()


def test_a_question_awaits_its_answer(words: Subwords) -> None:
    packed = pack([[Turn("what colour ?")]], words, patches=0)
    assert packed.ids[0].tolist() == words.ids("what colour ?")
    assert (packed.targets == NOTHING).all()


def test_rows_that_are_too_long_lose_whole_turns(words: Subwords) -> None:
    one = pack([TURNS[:1]], words, patches=2)
    cut = pack([TURNS], words, patches=2, length=one.ids.shape[1] + 1)
    for name, tensor in one.to_dict().items():
        assert cut.to_dict()[name].equal(tensor), name
    with pytest.raises(InputError, match="a picture of 30 tokens and 'what colour \\?' make"):
        pack([TURNS], words, patches=30, length=31)
    with pytest.raises(InputError, match="a picture of 30 tokens"):
        pack([TURNS], words, patches=30, length=20)


def test_a_first_answer_that_is_too_long_loses_its_end(words: Subwords) -> None:
    long = Turn("what colour ?", "red red red red")
    count = len(words.ids(long.question))
    packed = pack([[long]], words, patches=2, length=2 + count + 2)
    learnt = packed.targets[0][packed.targets[0] != NOTHING].tolist()
    assert learnt == words.ids("red red")
    assert packed.ids.shape[1] == 2 + count + 2


def test_rows_with_and_without_pictures_lie_in_one_batch(words: Subwords) -> None:
    shown = np.zeros((4, 4, 3), np.uint8)
    conversations = [Conversation(None, TURNS, apart=False), Conversation(shown, TURNS), Conversation(None, TURNS[:1])]
    packed = pack_conversations(conversations, words, patches=2)
    assert packed.pictured().tolist() == [False, True, False]
    assert packed.of("seen").sum(1).tolist() == [0, 2, 0]
    alone = [
        pack([TURNS], words, 0, apart=False),
        pack([TURNS], words, 2),
        pack([TURNS[:1]], words, 0),
    ]
    for row, one in enumerate(alone):
        count = int(one.lengths()[0])
        assert packed.lengths()[row] == count
        for name, tensor in one.to_dict().items():
            assert packed.to_dict()[name][row, :count].equal(tensor[0]), name
