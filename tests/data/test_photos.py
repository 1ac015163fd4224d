import numpy as np
import pytest
from skimage import data

from limner.data.photos import PHOTOS, Photos, _region
from limner.data.source import Source
from limner.errors import InputError


def test_regions_of_training_and_held_out_crops_share_no_pixel():
    for file in PHOTOS:
        whole, train, heldout = (np.asarray(_region(file, split)) for split in ("all", "train", "heldout"))
        assert np.array_equal(np.concatenate([train, heldout]), whole)
        assert 0.3 < heldout.shape[0] / whole.shape[0] < 0.4


def test_the_photographs_are_those_of_scikit_image():
    assert np.array_equal(np.asarray(_region("chelsea.png", "all")), data.cat())
    assert np.array_equal(np.asarray(_region("camera.png", "all"))[..., 0], data.camera())
    assert len(PHOTOS) == 12


def test_crops_are_deterministic_and_captioned():
    photos, again = Photos(seed=1), Photos(seed=1)
    assert isinstance(photos, Source)
    examples = [photos[i] for i in range(60)]
    assert all(np.array_equal(example.image, again[i].image) for i, example in enumerate(examples))
    assert all(example.image.shape == (64, 64, 3) for example in examples)
    things = list(PHOTOS.values())
    assert all(example.caption == f"part of a photo of {things[example.label]}" for example in examples)
    assert len({example.label for example in examples}) >= 10
    assert len({example.image.tobytes() for example in examples}) == 60
    assert [Photos(seed=2)[i].label for i in range(20)] != [example.label for example in examples[:20]]
    assert [example.label for example in examples[:8]] == [1, 9, 5, 10, 0, 9, 7, 0]


def test_sizes_splits_and_ends():
    assert Photos("heldout", size=32)[5].image.shape == (32, 32, 3)
    assert len(Photos(length=10)) == 10
    for index in (-1, 10):
        with pytest.raises(IndexError):
            Photos(length=10)[index]
    with pytest.raises(InputError, match="'test'"):
        Photos("test")
    with pytest.raises(InputError, match="0 pixels"):
        Photos(size=0)
