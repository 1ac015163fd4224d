from __future__ import annotations

import numpy as np
import pytest
import torch


def gaussian(seed: int, count: int, dim: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(dim, dim, generator=generator, dtype=torch.float64)
    return torch.randn(count, dim, generator=generator, dtype=torch.float64) @ mix + seed


def test_distance_of_axis_aligned_gaussians_is_the_closed_form():
    from limner.evaluate.frechet import Moments, frechet_distance

    s1, s2 = torch.tensor([1.0, 4.0, 9.0]).double(), torch.tensor([4.0, 4.0, 1.0]).double()
    a = Moments(torch.zeros(3).double(), torch.diag(s1), 10)
    b = Moments(torch.tensor([1.0, 2.0, 2.0]).double(), torch.diag(s2), 10)
    # |m|^2 = 9; sum (sqrt s1 - sqrt s2)^2 = 1 + 0 + 4
    assert frechet_distance(a, b) == pytest.approx(14.0, abs=1e-10)


def test_distance_agrees_with_a_general_matrix_square_root():
    from scipy.linalg import sqrtm

    from limner.evaluate.frechet import frechet_distance, moments

    first, second = gaussian(1, 500, 12), gaussian(2, 400, 12)
    x, y = first.numpy(), second.numpy()
    mean = np.square(x.mean(0) - y.mean(0)).sum()
    cx, cy = np.cov(x.T), np.cov(y.T)
    expected = float(mean + np.trace(cx + cy - 2 * np.real(sqrtm(cx @ cy))))
    assert frechet_distance(moments(first), moments(second)) == pytest.approx(expected, rel=1e-8)


def test_distance_to_itself_is_zero_and_symmetric_even_when_singular():
    from limner.evaluate.frechet import frechet_distance, moments

    few, other = moments(gaussian(1, 6, 20)), moments(gaussian(2, 9, 20))
    assert frechet_distance(few, few) == pytest.approx(0.0, abs=1e-6)
    assert frechet_distance(few, other) == pytest.approx(frechet_distance(other, few), rel=1e-6)


def test_neither_order_nor_batch_size_matters():
    from limner.encoders.features import FeatureNet
    from limner.evaluate.frechet import frechet_distance, picture_moments

    torch.manual_seed(0)
    net = FeatureNet(widths=(8, 8, 8), depths=(1, 1, 1), pooled_dim=16)
    real, fake = torch.rand(30, 3, 32, 32) * 2 - 1, torch.rand(30, 3, 32, 32)
    whole = frechet_distance(picture_moments(real.split(30), net.pooled), picture_moments(fake.split(30), net.pooled))
    order = torch.randperm(30)
    parts = frechet_distance(
        picture_moments(real[order].split(7), net.pooled), picture_moments(fake.flip(0).split(4), net.pooled)
    )
    assert whole > 1e-4
    assert parts == pytest.approx(whole, abs=1e-6)


def test_a_small_sample_overestimates():
    from limner.evaluate.frechet import frechet_distance, moments

    x = torch.randn(4000, 16, generator=torch.Generator().manual_seed(0))
    small = frechet_distance(moments(x[:40]), moments(x[40:80]))
    large = frechet_distance(moments(x[:2000]), moments(x[2000:]))
    assert small > 5 * large


def test_bad_features_are_refused():
    from limner.errors import InputError
    from limner.evaluate.frechet import frechet_distance, moments

    with pytest.raises(InputError, match="two or more"):
        moments(torch.zeros(1, 4))
    with pytest.raises(InputError, match="not finite"):
        moments(torch.tensor([[0.0], [float("nan")]]))
    with pytest.raises(InputError, match="one feature net"):
        frechet_distance(moments(torch.rand(3, 4)), moments(torch.rand(3, 5)))
