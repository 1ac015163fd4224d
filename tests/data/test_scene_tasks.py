"""What is made of scenes (questions, edits, videos, sprites in them), read back from the pixels or the things."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest

from limner.data.scenes import (
    ACTIONS,
    COLOURS,
    HELD_OUT_PAIRS,
    RGB,
    SHAPES,
    SIZES,
    Clips,
    Edits,
    Scene,
    Scenes,
    Thing,
)
from limner.data.scenes.questions import KINDS

NOUN = re.compile(rf"(?:\b(an?|one) )?(?:({'|'.join(SIZES)}) )?({'|'.join(COLOURS)}) ({'|'.join(SHAPES)})\b(?!es|s\b)")
PLACE = re.compile(
    r"(in|at|on|near) the (top left|top right|bottom left|bottom right|top|bottom|left|right|middle)(?! of)"
)


class Flags:
    """Sprites that can be recognised by their pixels: discs of a grey that stands for their number."""

    names = ("owl", "glasses", "grey owl", "face with tears", "red heart", "purple heart")

    def __len__(self) -> int:
        return len(self.names)

    def name(self, i: int) -> str:
        return self.names[i]

    def rgba(self, i: int, size: int) -> np.ndarray:
        at = np.arange(size) + 0.5 - size / 2
        inside = np.hypot(at[:, None], at[None, :]) < size / 2
        grey = np.full((size, size, 3), 60 + 40 * min(i, 1) if i != 2 else 60)
        return np.concatenate([grey, 255 * inside[..., None]], axis=2).astype(np.uint8)


def spread(count: int, **kwargs: object) -> list[Scene]:
    scenes = Scenes(11, **kwargs)
    return [scenes[index * 7] for index in range(count)]


def answer(scene: Scene, kind: str, text: str) -> str | None:
    """The answer to a question, found anew from the things (not by the code that asked)."""
    nouns = [m.group(3, 4) for m in NOUN.finditer(text)]
    things = scene.things
    by_pair = {thing.pair: k for k, thing in enumerate(things)}
    if kind == "exists":
        wanted = set(text.rstrip("?").split()) & {*COLOURS, *SHAPES}
        return "yes" if any(wanted <= set(thing.pair) for thing in things) else "no"
    if kind == "count":
        word = text.removeprefix("How many ").removesuffix(" are there?").removesuffix(" things").removesuffix("things")
        shape = next((s for s in SHAPES if word in (f"{s}s", f"{s}es")), word)
        count = sum(not word or shape in thing.pair for thing in things)
        return ("zero", "one", "two", "three", "four")[count]
    if kind in ("colour", "shape"):
        (thing,) = [
            t for t in things if (t.shape if kind == "colour" else t.colour) in text.split("is the ")[1][:-1].split()
        ]
        return thing.colour if kind == "colour" else thing.shape
    first, *rest = (things[by_pair[pair]] for pair in nouns)
    if kind == "position":
        return first.position
    if text.startswith("What size"):
        return first.size
    if kind == "relation":
        gap = (first.x - rest[0].x, first.y - rest[0].y)
        assert max(map(abs, gap)) > 8
        assert max(map(abs, gap)) >= 1.5 * min(map(abs, gap))
        across = abs(gap[0]) > abs(gap[1])
        word = ("left" if gap[0] < 0 else "right") if across else ("above" if gap[1] < 0 else "below")
        return word if text.startswith("Where") else ("yes" if word in text.split() else "no")
    if kind == "size":
        assert first.size != rest[0].size
        if text.startswith("Which"):
            biggest, smallest = sorted((first, rest[0]), key=lambda t: -t.radius)
            return "the " + " ".join((biggest if "larger" in text else smallest).pair)
        return "yes" if (first.radius > rest[0].radius) == ("larger" in text) else "no"
    front = by_pair[nouns[0]] > by_pair[nouns[1]]
    return "yes" if front == ("in front of" in text) else "no"


def test_answers_are_right_and_yes_and_no_balance() -> None:
    replies: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    scenes = spread(90, objects=(1, 4)) + spread(60, objects=(2, 4), grid=False, overlap=True)
    scenes += spread(60, objects=(1, 3), split="compositions")
    for scene in scenes:
        questions = scene.questions()
        assert len({q.text for q in questions}) == len(questions)
        for q in questions:
            assert answer(scene, q.kind, q.text) == q.answer, (q, scene.things)
            replies[q.kind][q.answer] += 1
    assert all(sum(counter.values()) > 30 for counter in replies.values())
    for kind in ("exists", "relation", "size", "depth"):
        yes, no = replies[kind]["yes"], replies[kind]["no"]
        assert abs(yes - no) <= 0.05 * (yes + no), kind
    assert {"zero", "one", "two", "three", "four"} <= replies["count"].keys()


def test_negatives_are_hard_and_absent() -> None:
    asked = 0
    for scene in spread(100, objects=(1, 4)):
        for q in scene.questions():
            if q.kind == "exists" and q.answer == "no" and (m := NOUN.search(q.text)):
                asked += 1
                shared = [thing for thing in scene.things if thing.colour == m[3] or thing.shape == m[4]]
                assert shared
                assert all(thing.pair != (m[3], m[4]) for thing in scene.things)
    assert asked > 200


def test_questions_do_not_give_the_answer_away_by_their_words() -> None:
    """How often a colour or a shape is asked for does not tell whether it is there."""
    for pattern in (NOUN, re.compile(r"anything ((\w)(\w+))")):
        counts: dict[str, Counter[str]] = {"yes": Counter(), "no": Counter()}
        for scene in spread(360, objects=(1, 2), split="heldout"):
            for q in scene.questions():
                if q.kind == "exists" and (m := pattern.search(q.text)):
                    counts[q.answer][m[3] if pattern is NOUN else m[1]] += 1
        for colour in COLOURS:
            yes, no = counts["yes"][colour], counts["no"][colour]
            assert 0.3 < yes / (yes + no) < 0.7, colour


@pytest.mark.parametrize("split", ["train", "compositions"])
def test_edits_change_what_they_say_and_nothing_else(split: str) -> None:
    kinds: Counter[str] = Counter()
    edits = Edits(Scenes(5, split=split, objects=(1, 3), background="plain"))
    for index in range(110):
        edit = edits[index]
        before, after = edit.before.things, edit.after.things
        kinds[edit.kind] += 1
        lost, new = [t for t in before if t not in after], [t for t in after if t not in before]
        check_edit(edit.kind, edit.instruction, lost, new)
        assert edit.after.masks.sum(axis=0).max() == 1
        assert len({t.pair for t in after}) == len(after)
        if edit.kind == "background":
            assert edit.instruction == f"change the background to {edit.after.background}"
            assert before == after
            continue
        touched = np.zeros((64, 64), bool)
        for thing in lost + new:
            at = np.arange(64) + 0.5
            touched |= np.hypot(at[:, None] - thing.y, at[None, :] - thing.x) <= thing.radius * 1.05 + 1
        differ = (edit.before.image != edit.after.image).any(axis=2)
        assert differ.sum() > 20
        assert not (differ & ~touched).any()
        if split == "train":
            assert not {t.pair for t in after} & HELD_OUT_PAIRS
    assert len(edits) == 1_000_000
    assert len(kinds) == 7
    assert min(kinds.values()) >= 5
    assert edits[3].instruction == edits[3].instruction
    assert edits.name == f"edits-{split}"


def check_edit(kind: str, instruction: str, lost: list[Thing], new: list[Thing]) -> None:
    words = instruction.split()
    named = [m.group(3, 4) for m in NOUN.finditer(instruction)]
    if kind == "background":
        return
    assert (len(lost), len(new)) == {"add": (0, 1), "remove": (1, 0)}.get(kind, (1, 1))
    assert named[0] == (lost or new)[0].pair
    if kind == "recolour":
        assert new[0].colour == words[-1]
        assert new[0].shape == lost[0].shape
        assert new[0].radius == lost[0].radius
    if kind == "reshape":
        assert named[1] == new[0].pair
        assert new[0].colour == lost[0].colour
    if kind == "resize":
        assert new[0].size == words[-1] != lost[0].size
        assert new[0].pair == lost[0].pair
    if kind == "move":
        assert instruction.removesuffix(" side").endswith(f"to the {new[0].position}")
        assert new[0].position != lost[0].position
        assert new[0].radius == lost[0].radius
    if kind == "add":
        assert new[0].size in words
        assert PLACE.search(instruction)[2] == new[0].position


def test_edits_off_the_grid_and_of_gradients() -> None:
    edits = Edits(Scenes(6, objects=(1, 2), background="gradient", grid=False))
    seen_kinds = set()
    for index in range(60):
        edit = edits[index]
        seen_kinds.add(edit.kind)
        assert all(thing.cell == -1 for thing in edit.after.things)
        if edit.kind == "move":
            assert (
                edit.instruction.removesuffix(" side").endswith(f"to the {edit.after.things[-1].position}")
                or len(edit.after.things) == 2
            )
        if edit.kind == "background":
            assert edit.instruction == f"change the background to a {edit.after.background}"
    assert {"move", "background"} <= seen_kinds


def test_clips_do_what_their_caption_says() -> None:
    done: Counter[str] = Counter()
    for index in range(40):
        clip = Clips(2, frames=6)[index]
        assert clip.frames.shape == (6, 64, 64, 3)
        clauses = clip.caption.split(" while ")
        masks = clip.masks
        assert masks.shape[:2] == (6, len(clauses))
        assert masks.sum(axis=1).max() == 1
        for k, (clause, action) in enumerate(zip(clauses, clip.actions, strict=True)):
            assert NOUN.search(clause).group(3, 4) == clip.states[0][k].pair
            assert clause.endswith(ACTIONS[action][0])
            check_action(action, masks[:, k])
            assert np.array_equal(np.median(clip.frames[-1][masks[-1, k]], axis=0), RGB[clip.states[-1][k].colour])
            done[action] += 1
    assert set(done) == set(ACTIONS)


def check_action(action: str, masks: np.ndarray) -> None:
    """Read from the masks ``[t, h, w]`` of one thing what it does."""
    area = masks.sum(axis=(1, 2)).astype(float)
    centres = np.array([[axis.mean() for axis in np.nonzero(mask)] for mask in masks])
    dy, dx = centres[-1] - centres[0]
    grown, rise = area[-1] / area[0], centres[0, 0] - centres[:, 0].min()
    expected = {
        "still": grown == 1 and abs(dx) + abs(dy) == 0,
        "left": dx < -10 and abs(dy) < 1,
        "right": dx > 10 and abs(dy) < 1,
        "up": dy < -10 and abs(dx) < 1,
        "down": dy > 10 and abs(dx) < 1,
        "grow": grown > 2,
        "shrink": grown < 0.5,
        "jump": rise > 8 and abs(dx) + abs(dy) < 1,
    }
    assert expected[action], (action, dx, dy, grown, rise)


def test_clips_hold_the_same_compositions_out() -> None:
    things = [clip.states[0] for clip in (Clips(2, frames=2)[index] for index in range(60))]
    assert not {thing.pair for state in things for thing in state} & HELD_OUT_PAIRS
    novel = [Clips(2, frames=2, split="compositions", objects=(1, 1))[index].states[0] for index in range(20)]
    assert {thing.pair for (thing,) in novel} <= HELD_OUT_PAIRS
    assert Clips(2)[4].caption == Clips(2)[4].caption
    assert len(Clips(length=3)) == 3


def test_sprites_stand_in_scenes_with_their_names() -> None:
    flags = Flags()
    shown = set()
    scenes = spread(150, sprites=flags, sprite_share=0.6, objects=(1, 3))
    for scene in scenes:
        for mask, thing in zip(scene.masks, scene.things, strict=True):
            if thing.emoji >= 0:
                shown.add(thing.emoji)
                assert thing.shape == flags.name(thing.emoji) in scene.caption
                assert thing.colour == ""
                grey = flags.rgba(thing.emoji, 8)[0, 0, 0]
                assert mask.sum() > 100
                assert (scene.image[mask] == grey).all()
        assert len({f"{t.colour} {t.shape}".strip() for t in scene.things}) == len(scene.things)
        replies = Counter(q.answer for q in scene.questions())
        assert replies["yes"] == replies["no"]
        for q in scene.questions():
            if q.kind == "exists" and q.answer == "no":
                asked = q.text.split(" ", 3)[3].rstrip("?")
                assert all(asked != f"{t.colour} {t.shape}".strip() for t in scene.things)
                twin = {"owl": "grey owl", "grey owl": "owl"}.get(asked, asked)  # they look the same
                assert all(twin != t.shape for t in scene.things)
    assert shown == set(range(5))  # but not the held-out purple heart
    assert any(re.match(r"(there are )?glasses", scene.caption) for scene in scenes)
    assert not any(re.search(r"(\ba|there is) glasses", scene.caption) for scene in scenes)
    edits = [Edits(Scenes(5, sprites=flags, sprite_share=0.8))[k] for k in range(40)]
    assert {edit.kind for edit in edits} >= {"resize", "move", "add", "remove"}
