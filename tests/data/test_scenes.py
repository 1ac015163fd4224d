"""The world of scenes: what captions say is read back from the pixels."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import combinations

import numpy as np
import pytest
from jaxtyping import config

from limner.data.scenes import (
    BACKGROUNDS,
    COLOURS,
    HELD_OUT_PAIRS,
    HELD_OUT_SHAPES,
    PHRASINGS,
    POSITIONS,
    RGB,
    SHAPES,
    SIZES,
    Clips,
    Scene,
    Scenes,
    Thing,
    caption_of,
    paint,
    relation,
    render_things,
)
from limner.data.scenes.language import article, background_phrase
from limner.data.scenes.shapes import OUTLINES
from limner.data.scenes.world import RADII, SEPARATION
from limner.data.source import Source
from limner.errors import InputError

NOUN = re.compile(rf"(?:\b(an?|one) )?(?:({'|'.join(SIZES)}) )?({'|'.join(COLOURS)}) ({'|'.join(SHAPES)})\b(?!es|s\b)")
PLACE = re.compile(
    r"(in|at|on|near) the (top left|top right|bottom left|bottom right|top|bottom|left|right|middle)(?! of)"
)
RELATION = re.compile(r"^(?:there is )?(.+?) (?:to the )?(left of|right of|above|below) (.+)$")


def spread(count: int, **kwargs: object) -> list[Scene]:
    scenes = Scenes(11, **kwargs)
    return [scenes[index * 7] for index in range(count)]


def find(scene: Scene, colour: str, shape: str) -> Thing:
    (thing,) = [thing for thing in scene.things if (thing.colour, thing.shape) == (colour, shape)]
    return thing


def seen(scene: Scene, thing: Thing) -> tuple[float, float]:
    """The centre (x, y) of the bounding box of the pixels that have the thing's exact colour near it."""
    at = np.arange(64) + 0.5
    near = np.hypot(at[:, None] - thing.y, at[None, :] - thing.x) < thing.radius * 1.06
    rows, columns = np.nonzero((scene.image == RGB[thing.colour]).all(axis=2) & near)
    assert len(rows) > 20
    return (columns.min() + columns.max() + 1) / 2, (rows.min() + rows.max() + 1) / 2


def check_caption(scene: Scene) -> set[str]:
    """Every word of a caption is accounted for and true; returns what kinds of statements it made."""
    ending = background_phrase(scene.background)
    assert scene.caption.endswith(ending)
    text = scene.caption.removesuffix(ending)
    nouns = list(NOUN.finditer(text))
    assert sorted((m[3], m[4]) for m in nouns) == sorted(thing.pair for thing in scene.things)
    said = set()
    for m in nouns:
        thing = find(scene, m[3], m[4])
        assert m[1] == ("an" if (m[2] or m[3])[0] in "aeiou" else "a") or m[1] == "one"
        if m[2]:
            assert thing.size == m[2]
            said.add("size")
    places = list(PLACE.finditer(text))
    if places and " to the " not in text:
        said.add("position")
        check_places(scene, text, nouns, places)
    if m := RELATION.match(text):
        said.add("relation")
        first, second = (find(scene, *NOUN.search(part).groups()[2:]) for part in (m[1], m[3]))
        (x1, y1), (x2, y2) = seen(scene, first), seen(scene, second)
        gap = {"left of": x2 - x1, "right of": x1 - x2, "above": y2 - y1, "below": y1 - y2}[m[2]]
        other = abs(y2 - y1) if m[2].endswith("of") else abs(x2 - x1)
        assert gap > max(6, 1.1 * other - 2), (scene.caption, gap, other)
    return said


def check_places(scene: Scene, text: str, nouns: list[re.Match[str]], places: list[re.Match[str]]) -> None:
    place_first = places[0].start() < nouns[0].start()
    for place in places:
        beside = [m for m in nouns if (m.start() >= place.end() if place_first else m.end() <= place.start())]
        noun = min(beside, key=lambda m: abs(m.start() - place.start()))
        thing = find(scene, noun[3], noun[4])
        assert (place[1] == "near") == (thing.cell < 0)
        x, y = seen(scene, thing)
        for value, low, high in ((y, "top", "bottom"), (x, "left", "right")):
            third = low if low in place[2] else high if high in place[2] else "middle"
            within = {low: value < 24, high: value > 40, "middle": 18 < value < 46}[third]
            assert within, (scene.caption, x, y)


@pytest.mark.parametrize("grid", [True, False])
@pytest.mark.parametrize("background", ["white", "plain", "gradient", "texture"])
def test_captions_say_only_what_the_pixels_show(background: str, grid: bool) -> None:
    said: Counter[str] = Counter()
    for scene in spread(80, background=background, grid=grid, objects=(1, 4)):
        said.update(check_caption(scene))
    assert min(said[kind] for kind in ("size", "position", "relation")) >= 8


def test_each_phrasing_says_what_it_promises() -> None:
    heart = Thing("heart", "red", "small", 10.0, 10.0, 8.0, 0)
    star = Thing("star", "blue", "large", 49.0, 12.0, 14.0, 2)
    one = [caption_of([heart], k) for k in range(len(PHRASINGS))]
    assert one == [
        *("a red heart", "a small red heart", "a red heart in the top left", "a small red heart in the top left"),
        *("a red heart", "a red heart", "there is a red heart", "in the top left a red heart", "one red heart"),
    ]
    two = [caption_of([heart, star], k) for k in range(len(PHRASINGS))]
    assert two == [
        "a red heart left of a blue star",
        "a small red heart left of a large blue star",
        "a red heart in the top left and a blue star in the top right",
        "a small red heart in the top left and a large blue star in the top right",
        "a blue star to the right of a red heart",
        "a red heart and a blue star",
        "there is a red heart left of a blue star",
        "in the top left a red heart and in the top right a blue star",
        "two things: a red heart and a blue star",
    ]
    assert caption_of([heart], 0, "yellow") == "a red heart on a yellow background"
    orange = Thing("star", "orange", "large", 32.0, 32.0, 14.0, 4)
    assert caption_of([orange], 1) == "a large orange star"
    assert caption_of([orange], 2) == "an orange star in the middle"
    assert caption_of([star, orange], 8) == "two stars: a blue star and an orange star"


ARTICLES = {
    "an": ("owl", "hourglass", "OK hand", "octopus"),
    "a": ("unicorn", "cross", "face with tears of joy", "one-piece swimsuit", "UFO", "rhinoceros", "women's room"),
    "": ("glasses", "grapes", "people hugging", "men holding hands", "skis"),
}


@pytest.mark.parametrize(("noun", "expected"), [(noun, a) for a, nouns in ARTICLES.items() for noun in nouns])
def test_articles(noun: str, expected: str) -> None:
    assert article(noun) == expected


def test_two_common_captions_are_common_and_all_phrasings_occur() -> None:
    scenes = spread(600)
    assert {scene.phrasing for scene in scenes} == set(range(len(PHRASINGS)))
    plain = sum(
        re.fullmatch(r"an? \w+ \w+( (left of|right of|above|below) an? \w+ \w+)?", s.caption) is not None
        for s in scenes
    )
    assert plain > 0.3 * len(scenes)


def test_scenes_are_deterministic_and_differ_by_seed_split_and_index() -> None:
    assert isinstance(Scenes(), Source)
    first, again = Scenes(3, objects=(1, 4))[5], Scenes(3, objects=(1, 4))[5]
    assert first.things == again.things
    assert first.caption == again.caption
    assert np.array_equal(first.image, again.image)
    assert first.questions() == again.questions()
    others = [Scenes(4)[5], Scenes(3, split="heldout")[5], Scenes(3)[6]]
    assert all(other.things != Scenes(3)[5].things for other in others)
    # The pictures that trained models have seen: a change of these numbers is a new data set.
    assert [scene.caption for scene in (Scenes(3)[0], Scenes(3)[3])] == [
        "a small cyan crescent",
        "a small yellow star left of a small black crescent",
    ]


def test_pictures_scale_with_the_size() -> None:
    small, large = Scenes(3, size=64)[8], Scenes(3, size=128)[8]
    assert small.things == large.things
    assert large.image.shape == (128, 128, 3)
    shrunk = large.image.reshape(64, 2, 64, 2, 3).mean(axis=(1, 3))
    assert np.abs(shrunk - small.image).mean() < 1.0


def test_held_out_compositions_leave_every_part_in_training() -> None:
    assert len(HELD_OUT_PAIRS) == 12
    assert len(HELD_OUT_SHAPES) == 6
    assert {shape for _, shape in HELD_OUT_PAIRS} == set(SHAPES)
    assert {colour for colour, _ in HELD_OUT_PAIRS} == set(COLOURS)
    scenes = spread(500, objects=(2, 4)) + spread(200, split="heldout", objects=(2, 4))
    pairs = {thing.pair for scene in scenes for thing in scene.things}
    assert len(pairs) == 108
    assert not pairs & HELD_OUT_PAIRS
    together = {frozenset((a.shape, b.shape)) for s in scenes for a, b in combinations(s.things, 2)}
    assert len(together) == 60 + 12
    assert not together & HELD_OUT_SHAPES
    words = {m.group(3, 4) for s in scenes[:200] for q in s.questions() for m in NOUN.finditer(q.text)}
    assert len(words) > 90
    assert not words & HELD_OUT_PAIRS


def test_every_scene_of_compositions_shows_exactly_one() -> None:
    kinds: Counter[str] = Counter()
    for scene in spread(400, split="compositions", objects=(1, 3)):
        pairs = [thing.pair for thing in scene.things if thing.pair in HELD_OUT_PAIRS]
        shapes = [p for p in combinations(scene.things, 2) if frozenset((p[0].shape, p[1].shape)) in HELD_OUT_SHAPES]
        assert len(pairs) + len(shapes) == 1
        kinds.update({"pair": len(pairs), "shapes": len(shapes), "single": len(scene.things) == 1})
    assert kinds["shapes"] > 90
    assert kinds["pair"] > 200
    assert kinds["single"] > 90


@pytest.mark.parametrize("grid", [True, False])
def test_things_keep_apart_inside_the_picture_and_in_their_cells(grid: bool) -> None:
    for scene in spread(100, objects=(2, 4), grid=grid):
        assert len({thing.pair for thing in scene.things}) == len(scene.things)
        for thing in scene.things:
            low, high = RADII[thing.size]
            assert low <= thing.radius <= high
            assert min(thing.x, thing.y) >= thing.radius + 1
            assert max(thing.x, thing.y) <= 63 - thing.radius
            if grid:
                assert thing.cell == int(thing.y // (64 / 3)) * 3 + int(thing.x // (64 / 3))
                assert thing.position == POSITIONS[thing.cell]
        for a, b in combinations(scene.things, 2):
            assert np.hypot(a.x - b.x, a.y - b.y) >= SEPARATION * (a.radius + b.radius)


def test_sizes_are_told_apart_by_the_pixels_of_a_shape() -> None:
    for shape in SHAPES:
        area = {}
        for size in SIZES:
            for end, radius in zip(("low", "high"), RADII[size], strict=True):
                image = render_things([Thing(shape, "black", size, 32.0, 32.0, radius)])
                area[size, end] = float((255 - image[..., 0]).sum())
        assert area["small", "high"] * 1.3 < area["medium", "low"]
        assert area["medium", "high"] * 1.3 < area["large", "low"]


def test_shapes_stay_in_their_disc_and_differ_at_the_smallest_size() -> None:
    at = np.linspace(-1.4, 1.4, 281, dtype=np.float32)
    reach = np.hypot(at[:, None], at[None, :])
    pictures = []
    for shape, outline in OUTLINES.items():
        assert reach[outline(at[None, :], at[:, None]) < 0].max() <= SEPARATION, shape
        pictures.append(render_things([Thing(shape, "black", "small", 32.0, 32.0, 8.0)])[..., 0] < 128)
    for a, b in combinations(pictures, 2):
        assert (a & b).sum() / (a | b).sum() < 0.86


def test_edges_are_anti_aliased_and_cover_the_true_area() -> None:
    image = render_things([Thing("circle", "black", "large", 31.3, 32.6, 14.0)])
    ink = (255.0 - image) / (255.0 - np.array(RGB["black"]))
    assert ink.sum() / 3 == pytest.approx(np.pi * (0.92 * 14) ** 2, rel=0.005)
    assert ((image[..., 0] > 40) & (image[..., 0] < 235)).sum() > 40


@pytest.mark.parametrize("overlap", [False, True])
def test_masks_are_disjoint_and_hold_the_colour_of_their_thing(overlap: bool) -> None:
    hidden = 0
    for scene in spread(60, objects=(1, 4), grid=False, overlap=overlap, background="texture"):
        masks = scene.masks
        assert masks.shape == (len(scene.things), 64, 64)
        assert masks.sum(axis=0).max() == 1
        for mask, thing in zip(masks, scene.things, strict=True):
            alone = paint((thing,), 64).masks[0]
            assert mask.sum() > 20
            assert not (mask & ~alone).any()
            hidden += int(mask.sum() < alone.sum())
            assert np.array_equal(np.median(scene.image[mask], axis=0), RGB[thing.colour])
        assert scene.depth == tuple(range(len(scene.things)))[::-1]
    assert (hidden > 20) == overlap


def test_relations_hold_only_where_they_are_clear() -> None:
    at = lambda x, y: Thing("star", "red", "small", float(x), float(y), 8.0)  # noqa: E731
    assert relation(at(10, 30), at(40, 30)) == "left"
    assert relation(at(40, 30), at(10, 30)) == "right"
    assert relation(at(30, 10), at(32, 50)) == "above"
    assert relation(at(30, 50), at(32, 10)) == "below"
    assert relation(at(10, 10), at(40, 40)) == ""
    assert relation(at(30, 30), at(36, 30)) == ""


def test_backgrounds_are_pale_and_named_in_the_caption() -> None:
    assert len(BACKGROUNDS["plain"]) == 4
    for kind, names in BACKGROUNDS.items():
        images = {name: render_things([], 64, name) for name in names}
        assert all(image.min() >= 150 for image in images.values())
        assert len({image.tobytes() for image in images.values()}) == len(names)
        flat = [len(np.unique(image.reshape(-1, 3), axis=0)) == 1 for image in images.values()]
        assert all(flat) == any(flat) == (kind in ("white", "plain"))
    moved = render_things([], 64, "dotted blue", phase=3 * 64 + 5)
    assert np.array_equal(moved, np.roll(render_things([], 64, "dotted blue"), (3, 5), axis=(0, 1)))


@pytest.fixture
def unchecked() -> Iterator[None]:
    """Types are not checked, as in use outside the tests."""
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)


@pytest.mark.usefixtures("unchecked")
def test_wrong_requests_say_what_to_do() -> None:
    heart = Thing("heart", "red", "small", 32.0, 32.0, 8.0)
    with pytest.raises(InputError, match="take one of train"):
        Scenes(split="test")  # type: ignore[arg-type]
    for wrong in (
        lambda: Scenes(objects=(2, 5)),
        lambda: Scenes(phrasing=99),
        lambda: Scenes(sprite_share=0.5),
        lambda: Scenes(background="sky"),  # type: ignore[arg-type]
        lambda: render_things([heart], background="mauve"),
        lambda: render_things([Thing("owl", "", "small", 32.0, 32.0, 8.0, emoji=0)]),
        lambda: caption_of([], 0),
        lambda: caption_of([heart], 99),
        lambda: Clips(frames=1),
        lambda: Clips(split="test"),  # type: ignore[arg-type]
    ):
        with pytest.raises(InputError, match=r"; (take|give|pass|see) .+\.$"):
            wrong()
    for source in (Scenes(length=2), Clips(length=2)):
        for index in (-1, 2):
            with pytest.raises(IndexError):
                source[index]
