"""The page of words: regions are what they say they are, and labels stay inside them."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from limner.unified.regions import Region, regions, roomiest
from limner.unified.words import PatchWords, Weighed
from limner.unified.words_page import GAP, word_map, words_page


def read_of(rows: list[str], weight: float = 0.5) -> PatchWords:
    """One letter per patch."""
    return PatchWords(tuple(tuple((Weighed(word, weight),) for word in row) for row in rows), "mixture")


def test_neighbours_with_one_word_are_one_region() -> None:
    found = regions(read_of(["aab", "bab", "bba"]))
    assert [(region.word, len(region.cells)) for region in found] == [("a", 3), ("b", 3), ("b", 2), ("a", 1)]
    assert found[1].cells == {(1, 0), (2, 0), (2, 1)}


def test_a_region_says_what_its_patches_say_on_average() -> None:
    red, ring, large = Weighed("red", 0.6), Weighed("ring", 0.4), Weighed("large", 0.1)
    (region,) = regions(PatchWords(((((red, ring), (Weighed("red", 0.2), Weighed("ring", 0.1), large)),)), "mixture"))
    assert [word for word, _ in region.words] == ["red", "ring", "large"]
    assert np.allclose([weight for _, weight in region.words], [0.4, 0.25, 0.05])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text("ab", min_size=5, max_size=5), min_size=5, max_size=5), st.floats(0.5, 8))
def test_a_label_has_room_inside_its_region(rows: list[str], ems: float) -> None:
    found = regions(read_of(rows))
    assert sorted(cell for region in found for cell in region.cells) == [(r, c) for r in range(5) for c in range(5)]
    for region in found:
        room = roomiest(region, ems, 1.0)
        inside = {(room.row + r, room.column + c) for r in range(room.rows) for c in range(room.columns)}
        assert inside <= region.cells


def test_the_room_suits_the_word() -> None:
    corner = Region(frozenset({(0, 0), (1, 0), (2, 0), (2, 1), (2, 2)}), (Weighed("a", 1.0),))
    assert roomiest(corner, 6.0, 1.0).columns == 3
    assert roomiest(corner, 0.5, 1.0).rows == 3


def test_colours_stand_on_their_own_colour_the_stronger_the_purer() -> None:
    strong, weak = (Weighed("red", 0.9),), (Weighed("red", 0.1),)
    other = (Weighed("ring", 0.5),)
    page = np.asarray(word_map(PatchWords(((strong, other), (other, weak)), "mixture"), 40)).astype(int)
    corner = GAP + 2
    assert page[corner, corner].tolist() == [225, 30, 40]
    pale = page[79 - corner, 79 - corner]
    assert pale[0] > 200
    assert 100 < pale[1] < 240
    assert (page[39:41] > 250).all()


def test_the_page_shows_the_picture_and_what_was_said() -> None:
    picture = np.zeros((8, 8, 3), np.uint8)
    picture[:4] = (200, 10, 10)
    read = read_of(["ab", "ba"])
    bare, told = words_page(picture, read), words_page(picture, read, "a long answer " * 20, "what is it?")
    assert bare.width == told.width == 2 * 720 + 3 * 32
    assert told.height > bare.height + 100
    assert np.asarray(bare)[32 + 10, 32 + 10].tolist() == [200, 10, 10]
    assert np.asarray(bare)[32 + 700, 32 + 10].tolist() == [0, 0, 0]
