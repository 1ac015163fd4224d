"""Six ways to change a picture that keep what is in it, as torchvision draws them; of each picture one, at random.

    flip | flip upside down | turn by up to 180 degrees | jitter of colours | blur | crop of 8 % to 100 %, scaled up

(Woo et al., RITUAL, arXiv:2405.17821, Section 3.2.) What a turn leaves empty is black. Pixels in [-1, 1].
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from limner.types import Rng

Picture = Float[Tensor, "1 3 h w"]
Numbers = Float[Tensor, "8"]  # uniform in [0, 1)
Transform: TypeAlias = Callable[[Picture, Numbers], Picture]

PIXELS = 336  # on a side of the pictures for which the blur was chosen
GREY = (0.2989, 0.587, 0.114)
JITTERS = 4


def flipped(image: Picture, numbers: Numbers) -> Picture:
    """Left and right exchanged."""
    return image.flip(-1)


def upside_down(image: Picture, numbers: Numbers) -> Picture:
    """Top and bottom exchanged."""
    return image.flip(-2)


def turned(image: Picture, numbers: Numbers) -> Picture:
    """Turned about its middle by an angle between -180 and 180 degrees."""
    angle = (2 * float(numbers[0]) - 1) * math.pi
    cos, sin = math.cos(angle), math.sin(angle)
    return _sampled(image, [[cos, -sin, 0.0], [sin, cos, 0.0]])


def cropped(image: Picture, numbers: Numbers) -> Picture:
    """A window of 8 % to 100 % of the area and of a shape between 3:4 and 4:3, scaled to the whole."""
    area = 0.08 + 0.92 * float(numbers[0])
    shape = math.exp((2 * float(numbers[1]) - 1) * math.log(4 / 3))
    width, height = min(1.0, math.sqrt(area * shape)), min(1.0, math.sqrt(area / shape))
    x, y = ((1 - side) * (2 * float(at) - 1) for side, at in ((width, numbers[2]), (height, numbers[3])))
    return _sampled(image, [[width, 0.0, x], [0.0, height, y]])


def jittered(image: Picture, numbers: Numbers) -> Picture:
    """Brightness, contrast and saturation by factors up to 2, and hues turned by up to half a circle, in any order."""
    pixels = (image + 1) / 2
    brightness, contrast, saturation = (2 * float(number) for number in numbers[:3])
    for step in numbers[4:].argsort().tolist():
        grey = (pixels * pixels.new_tensor(GREY)[:, None, None]).sum(1, keepdim=True)
        if step == 0:
            pixels = brightness * pixels
        elif step == 1:
            pixels = grey.mean() + contrast * (pixels - grey.mean())
        elif step == 2:
            pixels = grey + saturation * (pixels - grey)
        else:
            pixels = hue_turned(pixels, float(numbers[3]) - 0.5)
        pixels = pixels.clamp(0, 1)
    return 2 * pixels - 1


def blurred(image: Picture, numbers: Numbers) -> Picture:
    """Gaussian of 1.5 to 2 pixels in a picture of `PIXELS`, cut off beyond 6."""
    scale = image.shape[-1] / PIXELS
    sigma, reach = (1.5 + 0.5 * float(numbers[0])) * scale, max(1, round(6 * scale))
    weights = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=image.device) / sigma) ** 2)
    weights = (weights / weights.sum()).to(image.dtype).expand(3, 1, 1, -1)
    padded = functional.pad(image, (reach,) * 4, mode="reflect")
    return functional.conv2d(functional.conv2d(padded, weights, groups=3), weights.mT, groups=3)


TRANSFORMS: tuple[Transform, ...] = (flipped, upside_down, turned, jittered, blurred, cropped)


def transformed(image: Picture, rng: Rng) -> Picture:
    """One of `TRANSFORMS`."""
    choice, numbers = rng.uniform(1).item(), rng.uniform(8).cpu()
    return TRANSFORMS[int(choice * len(TRANSFORMS))](image, numbers)


def hue_turned(pixels: Float[Tensor, "1 3 h w"], turn: float) -> Float[Tensor, "1 3 h w"]:
    """Hues turned by a share of the circle; value and saturation of HSV stay. Pixels in [0, 1]."""
    value, low = pixels.amax(1), pixels.amin(1)
    spread = (value - low).clamp_min(1e-8)
    red, green, blue = pixels.unbind(1)
    sixth = torch.where(
        value == red,
        ((green - blue) / spread) % 6,
        torch.where(value == green, (blue - red) / spread + 2, (red - green) / spread + 4),
    )
    offset = (torch.tensor([5.0, 3.0, 1.0], device=pixels.device)[:, None, None] + sixth[:, None] + 6 * turn) % 6
    return value[:, None] - (value - low)[:, None] * torch.minimum(offset, 4 - offset).clamp(0, 1)


def _sampled(image: Picture, rows: list[list[float]]) -> Picture:
    """The picture under an affine map of positions; black outside."""
    grid = functional.affine_grid(image.new_tensor([rows]), list(image.shape), align_corners=False)
    return functional.grid_sample(image + 1, grid, align_corners=False) - 1
