import numpy as np
import pytest

from limner.data.glyphs import FONTS, Glyphs, words
from limner.data.source import Source
from limner.errors import InputError


def test_captions_labels_and_pictures():
    glyphs = Glyphs("all", length=200)
    assert isinstance(glyphs, Source)
    assert len(glyphs) == 200
    for index in range(200):
        example = glyphs[index]
        assert example.caption == f'the word "{words("all")[example.label]}"'
        assert example.image.shape == (64, 64, 3)
        edge = np.concatenate([example.image[0], example.image[-1], example.image[:, 0], example.image[:, -1]])
        assert edge.min() > 200  # no word touches the edge
        assert example.image.min() < 60
    assert len({glyphs[i].label for i in range(200)}) > 120


def test_deterministic_by_split_seed_and_index():
    first, again, other = Glyphs(seed=3), Glyphs(seed=3), Glyphs(seed=4)
    assert all(np.array_equal(first[i].image, again[i].image) for i in (0, 7, 999_999))
    assert [first[i].caption for i in range(9)] != [other[i].caption for i in range(9)]
    assert first[0].caption == 'the word "machine"'
    assert len({first[i].image.tobytes() for i in range(50)}) == 50


def test_a_longer_word_is_wider():
    narrow, wide = [], []
    glyphs = Glyphs("all")
    for index in range(300):
        example = glyphs[index]
        columns = np.flatnonzero(example.image.min(axis=(0, 2)) < 128)
        letters = len(words("all")[example.label])
        if letters in (2, 8):
            (narrow if letters == 2 else wide).append(columns[-1] - columns[0])
    assert np.mean(wide) > np.mean(narrow)
    assert max(wide) <= 64


def test_words_are_split():
    train, heldout = words("train"), words("heldout")
    assert not set(train) & set(heldout)
    assert sorted(train + heldout) == list(words("all"))
    assert 0.07 < len(heldout) / len(words("all")) < 0.13
    assert {"cat", "dog"} <= set(words("all"))
    assert all(word.isascii() and word.islower() and 2 <= len(word) <= 8 for word in words("all"))
    assert {words("all")[Glyphs("heldout")[i].label] for i in range(50)} <= set(heldout)


def test_all_faces_are_in_use():
    assert len(set(Glyphs()._fonts)) == len(FONTS) == 8
    assert Glyphs(size=128)[0].image.shape == (128, 128, 3)


def test_errors():
    with pytest.raises(InputError, match="'test'"):
        Glyphs("test")
    with pytest.raises(InputError, match="8 pixels"):
        Glyphs(size=8)
    with pytest.raises(IndexError, match="1000000 is outside"):
        Glyphs()[1_000_000]
