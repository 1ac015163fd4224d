from __future__ import annotations

import pytest
import torch


def thing(colour: str, shape: str, x: float, y: float, size: str = "medium", cell: int = -1):
    from limner.data.scenes import Thing

    return Thing(shape, colour, size, float(x), float(y), 10.0, cell)


def seen(colour: str, shape: str, x: float, y: float, size: str = "medium"):
    from limner.encoders.recogniser import Sighting

    return Sighting(shape, colour, size, float(x), float(y), 0.9)


def test_the_sets_are_fixed_and_say_what_they_want():
    from limner.data.emoji import Emoji
    from limner.data.scenes import HELD_OUT_PAIRS, is_held_out, relation
    from limner.evaluate.prompts import prompt_sets
    from limner.evaluate.report import pictures_hash

    sets = prompt_sets(24, 64, 30)
    assert {name: len(prompts) for name, prompts in sets.items()} == {
        "single": 24,
        "heldout": 24,
        "pair": 24,
        "heldout_pair": 12,
        "emoji": 30,
    }
    assert all(p.things[0].pair in HELD_OUT_PAIRS for p in sets["heldout"])
    assert not any(is_held_out(p.things) for p in sets["single"] + sets["pair"])
    assert all(is_held_out(p.things) for p in sets["heldout_pair"])
    assert sum(p.placed for p in sets["single"]) == sum(p.placed for p in sets["heldout"]) == 12
    for prompt in sets["single"] + sets["heldout"]:
        (wanted,) = prompt.things
        assert f"{wanted.colour} {wanted.shape}" in prompt.text
        assert (wanted.size in prompt.text and wanted.position in prompt.text) == prompt.placed
    for prompt in sets["pair"]:
        first, second = prompt.things
        word = relation(first, second)
        assert word
        assert prompt.text.index(f"{first.colour} {first.shape}") < prompt.text.index(word)
        assert prompt.text.index(word) < prompt.text.rindex(f"{second.colour} {second.shape}")
    held_out = set(Emoji("heldout").indices.tolist())
    labels = [p.label for p in sets["emoji"]]
    assert len(set(labels)) == 30
    assert not held_out & set(labels)
    texts = [p.text for prompts in sets.values() for p in prompts]
    assert pictures_hash([], texts) == pictures_hash(
        [], [p.text for prompts in prompt_sets(24, 64, 30).values() for p in prompts]
    )


def test_fewer_emoji_prompts_are_a_part_of_more():
    from limner.evaluate.prompts import prompt_sets

    few, many = ({p.text for p in prompt_sets(1, 64, n)["emoji"]} for n in (10, 40))
    assert few < many


def test_parts_of_a_single_thing_are_judged_one_by_one():
    import numpy as np

    from limner.evaluate.prompts import Prompt, _single_parts

    wanted = thing("red", "heart", 11, 11, "small", cell=0)
    prompt = Prompt("a small red heart in the top left", np.zeros((4, 4, 3), np.uint8), (wanted,), placed=True)
    right = _single_parts([seen("red", "heart", 12, 20, "small")], prompt)
    assert all(right.values())
    assert len(right) == 6
    wrong_colour = _single_parts([seen("blue", "heart", 12, 12, "small"), seen("red", "heart", 12, 12)], prompt)
    assert [part for part, ok in wrong_colour.items() if not ok] == ["prompt/colour", "prompt/seen", "prompt/count"]
    elsewhere = _single_parts([seen("red", "star", 22, 12, "large")], prompt)
    assert [part for part, ok in elsewhere.items() if not ok] == [
        "prompt/shape",
        "prompt/seen",
        "prompt/size",
        "prompt/position",
    ]
    assert not any(_single_parts([], prompt).values())
    unplaced = Prompt("a red heart", prompt.picture, (wanted,))
    assert set(_single_parts([], unplaced)) == {"prompt/colour", "prompt/shape", "prompt/seen", "prompt/count"}


@pytest.mark.parametrize(
    ("sightings", "right"),
    [
        ([("red", "heart", 10, 30), ("blue", "star", 50, 34)], True),
        ([("blue", "star", 50, 34), ("red", "heart", 10, 30)], True),  # the order of sightings does not matter
        ([("red", "heart", 50, 30), ("blue", "star", 10, 34)], False),  # the wrong way round
        ([("red", "heart", 30, 10), ("blue", "star", 34, 50)], False),  # above, not left
        ([("blue", "heart", 10, 30), ("red", "star", 50, 34)], False),  # colours swapped
        ([("red", "heart", 10, 30)], False),
        ([], False),
        ([("red", "heart", 10, 30), ("red", "ring", 30, 50), ("blue", "star", 50, 34)], False),  # not of the surest two
    ],
)
def test_a_pair_is_right_only_as_a_whole(sightings, right):
    from limner.evaluate.prompts import _pair_right

    things = (thing("red", "heart", 10, 32), thing("blue", "star", 50, 32))  # left of
    assert _pair_right([seen(*sighting) for sighting in sightings], things) is right


def test_every_drawing_has_its_prompt_and_every_batch_its_seed():
    from limner.evaluate.prompts import draw_prompts, prompt_sets

    prompts = prompt_sets(5, 64, 3)["single"]
    calls: list[tuple[list[str], int]] = []

    def draw(texts: list[str], seed: int) -> torch.Tensor:
        calls.append((texts, seed))
        return torch.full((len(texts), 3, 64, 64), 2.0)

    advanced: list[int] = []
    drawings = draw_prompts(draw, prompts, 7, batch=2, advance=advanced.append)
    assert [text for texts, _ in calls for text in texts] == [prompt.text for prompt in prompts]
    assert len({seed for _, seed in calls}) == 3
    assert advanced == [2, 2, 1]
    assert drawings.shape == (5, 3, 64, 64)
    assert drawings.max() == 1
