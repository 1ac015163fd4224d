import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from limner.data.digits import Digits
from limner.data.extra import package_file
from limner.data.source import Source
from limner.errors import InputError


def test_the_digits_are_those_of_scikit_learn():
    bunch, digits = load_digits(), Digits("all", size=8)
    assert isinstance(digits, Source)
    assert len(digits) == len(bunch.target) == 1797
    for index in (0, 5, 1796):
        expected = 255 - np.round(bunch.images[index] * 255 / 16)
        assert np.array_equal(digits[index].image, np.dstack([expected] * 3))
        assert digits[index].label == bunch.target[index]
    assert digits[7].caption == "the digit seven"


def test_enlarged_and_dark_on_white():
    image = Digits("train")[0].image
    assert image.shape == (64, 64, 3)
    assert image[0, 0, 0] > 240
    assert image.min() < 40
    small = Image.fromarray(image).resize((8, 8), Image.Resampling.BOX)
    assert np.abs(np.asarray(small).astype(int) - Digits("train", size=8)[0].image).mean() < 12


def test_split_is_a_partition_with_all_digits_in_both():
    train, heldout = Digits("train"), Digits("heldout")
    assert sorted([*train.indices, *heldout.indices]) == list(range(1797))
    counts = np.bincount([heldout[i].label for i in range(len(heldout))], minlength=10)
    assert counts.min() >= 20
    assert len(heldout) == 257


def test_errors_name_input_and_remedy():
    with pytest.raises(InputError, match="'test'.*train, heldout or all"):
        Digits("test")
    with pytest.raises(InputError, match="at 0 pixels"):
        Digits(size=0)
    with pytest.raises(InputError, match=r"no_such_wheel is not installed: run pip install 'limner\[data\]'"):
        package_file("no_such_wheel", "data/x.png")
    with pytest.raises(InputError, match=r"installed sklearn does not hold gone\.csv"):
        package_file("sklearn", "gone.csv")
