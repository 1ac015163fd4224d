from __future__ import annotations

import numpy as np
import pytest
import torch


def image(count: int = 1, size: int = 32) -> torch.Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(0))


def test_an_item_of_the_stream_is_the_same_in_every_batch():
    from limner.encoders import views

    assert torch.equal(views.draws(1, 3, 5, 8)[2:4], views.draws(1, 5, 2, 8))
    assert torch.equal(views.grain(1, 3, 5, 8)[2:4], views.grain(1, 5, 2, 8))
    assert not torch.equal(views.draws(1, 0, 2, 8), views.draws(2, 0, 2, 8))


def test_blur_keeps_constants_and_agrees_with_a_gaussian_inside():
    from scipy.ndimage import gaussian_filter

    from limner.encoders import views

    constant = torch.full((1, 3, 16, 16), 0.3)
    assert torch.allclose(views.blur(constant, torch.tensor([2.0])), constant, atol=1e-6)
    assert torch.allclose(views.blur(image(), torch.tensor([0.0])), image(), atol=1e-6)
    ours = views.blur(image(), torch.tensor([1.5]))[0, 0].numpy()
    theirs = gaussian_filter(image()[0, 0].double().numpy(), 1.5, truncate=6)
    assert np.abs(ours - theirs)[10:-10, 10:-10].max() < 1e-4


def test_blocks_round_the_dct_of_each_block():
    from scipy.fft import dctn

    from limner.encoders import views

    result = views.blocks(image(2), torch.tensor([0.25, 0.0]))
    assert torch.equal(result[1], image(2)[1])
    before = dctn(image(2)[0, 1, 8:16, 16:24].double().numpy(), norm="ortho")
    after = dctn(result[0, 1, 8:16, 16:24].double().numpy(), norm="ortho")
    assert np.abs(after - np.round(before / 0.25) * 0.25).max() < 1e-4


def test_warp_of_strength_zero_changes_nothing():
    from limner.encoders import views

    field = torch.randn(1, 2, 5, 5)
    assert torch.allclose(views.warp(image(), torch.tensor([0.0]), field), image(), atol=1e-5)
    moved = views.warp(image(), torch.tensor([0.1]), torch.ones(1, 2, 5, 5))
    assert not torch.allclose(moved, image(), atol=0.05)


@pytest.mark.parametrize("kind", [0, 1, 2, 3, 4])
def test_damage_grows_with_its_level_and_none_does_none(kind):
    from limner.encoders import views

    smooth = views.blur(image(1, 64), torch.tensor([1.0]))
    noise = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    errors = [
        (views.damage(smooth.clone(), torch.tensor([kind]), torch.tensor([level]), noise) - smooth).square().mean()
        for level in (0.0, 0.5, 1.0)
    ]
    if kind == 0:
        assert errors == [0, 0, 0]
    else:
        assert 0 < errors[0] < errors[1] < errors[2]


def test_a_cutout_lands_where_it_is_put():
    from limner.encoders import views

    red = torch.zeros(2, 4, 16, 16)
    red[:, 0] = red[:, 3] = 1
    white = torch.ones(2, 3, 32, 32)
    shift = torch.tensor([[0.5, 0.0], [0.0, -0.5]])  # a quarter of the picture to the right, a quarter up
    zoom, angle, flip = torch.full((2,), 0.25), torch.zeros(2), torch.zeros(2, dtype=torch.bool)
    result = views.paste(red, white, zoom, shift, angle, flip)
    gone = 1 - result[:, 1]
    rows, columns = torch.meshgrid(torch.arange(32.0) + 0.5, torch.arange(32.0) + 0.5, indexing="ij")
    centre = [((gone[i] * c).sum() / gone[i].sum()).item() for i in range(2) for c in (columns, rows)]
    assert centre == pytest.approx([24, 16, 16, 8], abs=0.05)
    assert gone.sum(dim=(1, 2)).tolist() == pytest.approx([64, 64], rel=0.05)
    assert result[0, :, 16, 24].tolist() == pytest.approx([1, 0, 0])


def test_flip_mirrors_the_cutout():
    from limner.encoders import views

    half = torch.zeros(1, 4, 16, 16)
    half[:, 3, :, :8] = 1  # a black left half
    arguments = (torch.ones(1, 3, 16, 16), torch.ones(1), torch.zeros(1, 2), torch.zeros(1))
    plain = views.paste(half, *arguments, torch.tensor([False]))
    mirrored = views.paste(half, *arguments, torch.tensor([True]))
    assert plain[0, 0, 8, 2] == 0
    assert plain[0, 0, 8, 13] == 1
    assert torch.allclose(mirrored, plain.flip(3), atol=1e-6)


def test_signatures_tell_emoji_apart():
    from limner.data.emoji import Emoji
    from limner.encoders import views

    rgba = views.cutouts(Emoji("heldout", size=32), 32)
    rows = views.signatures(rgba, 48)
    assert rows.shape == (90, 48)
    likeness = rows @ rows.T / 48
    assert torch.allclose(likeness.diagonal(), torch.ones(90), atol=0.01)
    assert (likeness - torch.eye(90)).max() < 0.95
