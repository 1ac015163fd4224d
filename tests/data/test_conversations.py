"""Questions about scenes: deterministic, exact, and of every kind alike."""

from __future__ import annotations

from collections import Counter

from limner.data.conversations import DESCRIBE, SceneConversations
from limner.data.scenes import Scenes


def test_a_conversation_is_the_same_forever() -> None:
    source = SceneConversations(Scenes(3, objects=(2, 4)), turns=4)
    first, again = source[7], SceneConversations(Scenes(3, objects=(2, 4)), turns=4)[7]
    assert first.turns == again.turns
    assert (first.image == again.image).all()
    assert first.apart


def test_what_is_asked_is_what_the_scene_answers() -> None:
    scenes = Scenes(0, objects=(1, 4))
    for index in range(20):
        told = {(asked.text, asked.answer) for asked in scenes[index].questions()}
        *asked, last = SceneConversations(scenes, turns=5)[index].turns
        assert {(turn.question, turn.answer) for turn in asked} <= told
        assert len(set(asked)) == len(asked) <= 5
        assert (last.question, last.answer, last.kind) == (DESCRIBE, scenes[index].caption, "caption")
    assert len(SceneConversations(scenes, turns=5, describe=False)[0].turns) <= 5
    assert len(SceneConversations(scenes)) == len(scenes)


def test_kinds_of_question_are_asked_alike() -> None:
    source = SceneConversations(Scenes(0, objects=(2, 4), overlap=True), turns=3, describe=False)
    kinds = Counter(turn.kind for index in range(300) for turn in source[index].turns)
    common = [kinds[kind] for kind in ("exists", "colour", "shape", "count", "relation", "size", "position")]
    assert max(common) < 2 * min(common), kinds
