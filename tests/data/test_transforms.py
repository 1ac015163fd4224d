"""Six transforms: shape, range, what each leaves alone, and one drawn at random."""

from __future__ import annotations

import pytest
import torch

from limner.data.transforms import TRANSFORMS, blurred, cropped, hue_turned, jittered, transformed, turned
from limner.types import Rng


def picture(side: int = 24) -> torch.Tensor:
    return torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1


def numbers(*first: float) -> torch.Tensor:
    return torch.tensor([*first, *[0.5] * (8 - len(first))])


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_a_picture_stays_a_picture(transform) -> None:
    for seed in range(5):
        image = transform(picture(), torch.rand(8, generator=torch.Generator().manual_seed(seed)))
        assert image.shape == (1, 3, 24, 24)
        assert float(image.min()) >= -1 - 1e-5
        assert float(image.max()) <= 1 + 1e-5


def test_nothing_is_changed_by_numbers_that_change_nothing() -> None:
    image = picture()
    torch.testing.assert_close(turned(image, numbers(0.5)), image, atol=1e-5, rtol=0)
    torch.testing.assert_close(cropped(image, numbers(1.0)), image, atol=1e-5, rtol=0)
    torch.testing.assert_close(jittered(image, numbers(0.5, 0.5, 0.5, 0.5)), image, atol=1e-5, rtol=0)
    torch.testing.assert_close(hue_turned((image + 1) / 2, 1.0), (image + 1) / 2, atol=1e-5, rtol=0)


def test_known_turns() -> None:
    image = picture()
    torch.testing.assert_close(turned(image, numbers(0.0)), image.flip(-1, -2), atol=1e-4, rtol=0)
    red, green = torch.tensor([1.0, 0, 0]), torch.tensor([0, 1.0, 0])
    found = hue_turned(red[None, :, None, None].expand(1, 3, 2, 2), 1 / 3)
    torch.testing.assert_close(found[0, :, 0, 0], green, atol=1e-5, rtol=0)
    flat = torch.full((1, 3, 24, 24), 0.3)
    torch.testing.assert_close(blurred(flat, numbers()), flat)
    assert blurred(picture(336), numbers()).std() < 0.3 * picture(336).std()


def test_every_transform_is_drawn_and_the_same_draw_is_the_same_picture() -> None:
    found = [transformed(picture(), Rng(seed)) for seed in range(60)]
    assert torch.equal(found[7], transformed(picture(), Rng(7)))
    fixed = [transform(picture(), numbers()) for transform in TRANSFORMS[:2]]
    assert all(any(torch.equal(one, image) for image in found) for one in fixed)
    assert len({float(image.sum()) for image in found}) > 30
