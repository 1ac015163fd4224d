from __future__ import annotations

import math

import numpy as np
import pytest
import torch


def pictures(seed: int, *shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_psnr_of_a_known_error_is_averaged_over_pictures_not_over_errors():
    from limner.evaluate.reconstruction import psnr

    target = torch.zeros(2, 3, 16, 16)
    image = target.clone()
    image[0] += 0.2  # MSE 0.04: 10 log10(4 / 0.04) = 20 dB
    image[1] += 0.02  # 40 dB
    assert psnr(image, target).tolist() == pytest.approx([20.0, 40.0], abs=1e-4)


def test_psnr_of_equal_pictures_is_infinite():
    from limner.evaluate.reconstruction import psnr

    image = pictures(0, 1, 3, 8, 8)
    assert math.isinf(psnr(image, image).item())


@pytest.mark.parametrize("noise", [0.02, 0.3, 1.0])
@pytest.mark.parametrize("size", [(11, 11), (64, 64), (37, 50)])
def test_ssim_agrees_with_scikit_image(noise, size):
    from skimage.metrics import structural_similarity

    from limner.evaluate.reconstruction import ssim

    smooth = torch.nn.functional.interpolate(pictures(1, 2, 3, 6, 6), size=size, mode="bilinear")
    image = (smooth + noise * pictures(2, 2, 3, *size)).clamp(-1, 1)
    ours = ssim(image, smooth)
    for i in range(2):
        theirs = structural_similarity(
            image[i].double().numpy(),
            smooth[i].double().numpy(),
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=2.0,
            channel_axis=0,
        )
        assert ours[i].item() == pytest.approx(float(np.mean(theirs)), abs=1e-4)


def test_ssim_is_one_for_equal_pictures_symmetric_and_refuses_tiny_ones():
    from limner.errors import InputError
    from limner.evaluate.reconstruction import ssim

    a, b = pictures(3, 2, 3, 20, 20), pictures(4, 2, 3, 20, 20)
    assert torch.allclose(ssim(a, a), torch.ones(2))
    assert torch.allclose(ssim(a, b), ssim(b, a), atol=1e-7)
    with pytest.raises(InputError, match="11 pixels"):
        ssim(a[..., :10], b[..., :10])


def test_pictures_of_different_shape_are_refused():
    from limner.errors import InputError
    from limner.evaluate.reconstruction import psnr

    with pytest.raises(InputError, match="cannot be compared"):
        psnr(pictures(0, 1, 3, 8, 8), pictures(0, 1, 3, 8, 9))
