"""How well a picture survived: PSNR and SSIM, per picture; take the mean over pictures yourself."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from limner.errors import InputError
from limner.types import Image


def _paired(image: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    if image.shape != target.shape:
        raise InputError(
            f"two sets of pictures of shapes {list(image.shape)} and {list(target.shape)} cannot be compared; "
            "resize one to the other first"
        )
    return image.double(), target.double()


def psnr(image: Image, target: Tensor, peak: float = 2.0) -> Float[Tensor, "b"]:
    """Peak signal-to-noise ratio of each picture in decibels, ``10 log10(peak^2 / MSE)``; ``peak`` is the width of the
    value range (2 for [-1, 1]). Infinite for equal pictures. Average these, not the MSE."""
    image, target = _paired(image, target)
    error = (image - target).square().mean(dim=(1, 2, 3))
    return (10 * torch.log10(peak**2 / error)).float()


def ssim(image: Image, target: Tensor, data_range: float = 2.0) -> Float[Tensor, "b"]:
    """Structural similarity of each picture, mean over places and channels (Wang et al. 2004, IEEE TIP 13(4), Eq. 13):
    Gaussian window 11x11 with sigma 1.5, K1 = 0.01, K2 = 0.03, population variances. Places whose window would leave
    the picture are not counted, as in the paper and in scikit-image. 1 for equal pictures. Sides of 11 pixels and up.
    """
    image, target = _paired(image, target)
    if min(image.shape[2:]) < 11:
        raise InputError(f"SSIM needs sides of 11 pixels or more but got {list(image.shape[2:])}; use larger pictures")
    window = torch.exp(-0.5 * (torch.arange(-5, 6, dtype=torch.float64, device=image.device) / 1.5) ** 2)
    window = window / window.sum()

    def local(x: Tensor) -> Tensor:
        planes = x.flatten(0, 1)[:, None]
        smooth = F.conv2d(F.conv2d(planes, window[None, None, :, None]), window[None, None, None, :])
        return smooth.unflatten(0, x.shape[:2])[:, :, 0]

    mean_x, mean_y = local(image), local(target)
    variance_x = local(image * image) - mean_x**2
    variance_y = local(target * target) - mean_y**2
    covariance = local(image * target) - mean_x * mean_y
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * covariance + c2) / (variance_x + variance_y + c2)
    return (luminance * structure).mean(dim=(1, 2, 3)).float()
