"""Inception-v3 as the Frechet Inception Distance uses it, for weights that the user has as a local file.

The network of Szegedy et al. 2015 (arXiv:1512.00567, Section 6) in the variant of the TensorFlow graph of 2015-12-05
that FID is defined on (arXiv:1706.08500): average pools in the blocks do not count the padding, the last block's pool
is a maximum, and the classifier has 1008 rows. Parameter names are those of the widely copied file
``pt_inception-2015-12-05-6726825d.pth``. limner ships no such weights.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from limner.errors import CheckpointError, InputError
from limner.nn.tensor_files import read_tensors
from limner.nn.weights import listed, unsound
from limner.types import Image

Kernel = int | tuple[int, int]


class Unit(nn.Module):
    """Convolution without bias, batch norm (epsilon 1e-3), ReLU."""

    def __init__(self, channels: int, out: int, kernel: Kernel, stride: int = 1, padding: Kernel = 0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(out, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


def _mean_pool(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


class Square(nn.Module):
    """The 35x35 block: 1x1, 5x5, double 3x3, pool."""

    def __init__(self, channels: int, pool_out: int) -> None:
        super().__init__()
        self.branch1x1 = Unit(channels, 64, 1)
        self.branch5x5_1 = Unit(channels, 48, 1)
        self.branch5x5_2 = Unit(48, 64, 5, padding=2)
        self.branch3x3dbl_1 = Unit(channels, 64, 1)
        self.branch3x3dbl_2 = Unit(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = Unit(96, 96, 3, padding=1)
        self.branch_pool = Unit(channels, pool_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        five = self.branch5x5_2(self.branch5x5_1(x))
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch1x1(x), five, double, self.branch_pool(_mean_pool(x))], 1)


class Halve35(nn.Module):
    """From 35x35 to 17x17."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch3x3 = Unit(channels, 384, 3, stride=2)
        self.branch3x3dbl_1 = Unit(channels, 64, 1)
        self.branch3x3dbl_2 = Unit(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = Unit(96, 96, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), double, F.max_pool2d(x, 3, 2)], 1)


class Factored(nn.Module):
    """The 17x17 block: 7x7 convolutions factored into 1x7 and 7x1."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        wide, tall = ((1, 7), (0, 3)), ((7, 1), (3, 0))
        self.branch1x1 = Unit(channels, 192, 1)
        self.branch7x7_1 = Unit(channels, inner, 1)
        self.branch7x7_2 = Unit(inner, inner, wide[0], padding=wide[1])
        self.branch7x7_3 = Unit(inner, 192, tall[0], padding=tall[1])
        self.branch7x7dbl_1 = Unit(channels, inner, 1)
        self.branch7x7dbl_2 = Unit(inner, inner, tall[0], padding=tall[1])
        self.branch7x7dbl_3 = Unit(inner, inner, wide[0], padding=wide[1])
        self.branch7x7dbl_4 = Unit(inner, inner, tall[0], padding=tall[1])
        self.branch7x7dbl_5 = Unit(inner, 192, wide[0], padding=wide[1])
        self.branch_pool = Unit(channels, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        single = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))
        return torch.cat([self.branch1x1(x), single, double, self.branch_pool(_mean_pool(x))], 1)


class Halve17(nn.Module):
    """From 17x17 to 8x8."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch3x3_1 = Unit(channels, 192, 1)
        self.branch3x3_2 = Unit(192, 320, 3, stride=2)
        self.branch7x7x3_1 = Unit(channels, 192, 1)
        self.branch7x7x3_2 = Unit(192, 192, (1, 7), padding=(0, 3))
        self.branch7x7x3_3 = Unit(192, 192, (7, 1), padding=(3, 0))
        self.branch7x7x3_4 = Unit(192, 192, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        three = self.branch3x3_2(self.branch3x3_1(x))
        seven = self.branch7x7x3_4(self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x))))
        return torch.cat([three, seven, F.max_pool2d(x, 3, 2)], 1)


class Spread(nn.Module):
    """The 8x8 block with split branches; ``maximum`` pools by maximum (the FID graph's last block)."""

    def __init__(self, channels: int, maximum: bool) -> None:
        super().__init__()
        self.maximum = maximum
        self.branch1x1 = Unit(channels, 320, 1)
        self.branch3x3_1 = Unit(channels, 384, 1)
        self.branch3x3_2a = Unit(384, 384, (1, 3), padding=(0, 1))
        self.branch3x3_2b = Unit(384, 384, (3, 1), padding=(1, 0))
        self.branch3x3dbl_1 = Unit(channels, 448, 1)
        self.branch3x3dbl_2 = Unit(448, 384, 3, padding=1)
        self.branch3x3dbl_3a = Unit(384, 384, (1, 3), padding=(0, 1))
        self.branch3x3dbl_3b = Unit(384, 384, (3, 1), padding=(1, 0))
        self.branch_pool = Unit(channels, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        single = self.branch3x3_1(x)
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        pooled = F.max_pool2d(x, 3, stride=1, padding=1) if self.maximum else _mean_pool(x)
        return torch.cat(
            [
                self.branch1x1(x),
                self.branch3x3_2a(single),
                self.branch3x3_2b(single),
                self.branch3x3dbl_3a(double),
                self.branch3x3dbl_3b(double),
                self.branch_pool(pooled),
            ],
            1,
        )


class InceptionV3(nn.Module):
    """Pictures to the 2048 averaged features before the classifier. Any size; resized to 299x299 (bilinear, half-pixel
    centres, no anti-aliasing, as pytorch-fid does; the TensorFlow original differs slightly). Use in ``eval`` mode."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Unit(3, 32, 3, stride=2)
        self.Conv2d_2a_3x3 = Unit(32, 32, 3)
        self.Conv2d_2b_3x3 = Unit(32, 64, 3, padding=1)
        self.Conv2d_3b_1x1 = Unit(64, 80, 1)
        self.Conv2d_4a_3x3 = Unit(80, 192, 3)
        self.Mixed_5b = Square(192, 32)
        self.Mixed_5c = Square(256, 64)
        self.Mixed_5d = Square(288, 64)
        self.Mixed_6a = Halve35(288)
        self.Mixed_6b = Factored(768, 128)
        self.Mixed_6c = Factored(768, 160)
        self.Mixed_6d = Factored(768, 160)
        self.Mixed_6e = Factored(768, 192)
        self.Mixed_7a = Halve17(768)
        self.Mixed_7b = Spread(1280, maximum=False)
        self.Mixed_7c = Spread(2048, maximum=True)
        self.fc = nn.Linear(2048, 1008)

    def forward(self, image: Image) -> Float[Tensor, "b 2048"]:
        x = F.interpolate(image, size=(299, 299), mode="bilinear", align_corners=False)
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = F.max_pool2d(x, 3, 2)
        x = F.max_pool2d(self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x)), 3, 2)
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(x)))
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))))
        x = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x)))
        return x.mean(dim=(2, 3))


def load_inception(path: Path) -> InceptionV3:
    """Inception-v3 with the weights of a local ``.safetensors``, ``.pth`` or ``.pt`` file, frozen, in eval mode.

    Raises InputError when the file is missing, unreadable or of another network.
    """
    if not path.is_file():
        raise InputError(f"there is no file {path} with Inception weights; give the path of the FID weights you have")
    try:
        state: dict[str, Tensor] = read_tensors(path)
    except CheckpointError as error:
        raise InputError(f"{path} cannot be read as weights ({error})") from None
    if broken := unsound(state):
        raise InputError(f"NaN or infinity is in {listed(broken)} of {path}: download it again")
    with torch.device("meta"):
        model = InceptionV3()
    wanted = model.state_dict()
    counters = {name: torch.tensor(0) for name in wanted if name.endswith("num_batches_tracked")}
    state = {**counters, **state}  # old files have no batch counters, and nothing reads them
    odd = sorted(set(state) ^ set(wanted)) or [name for name in wanted if state[name].shape != wanted[name].shape]
    if odd:
        raise InputError(f"{path} is not FID's Inception-v3: {odd[0]} does not fit; give pt_inception-2015-12-05")
    model.load_state_dict(state, assign=True)
    return model.float().eval().requires_grad_(False)
