"""Training pictures for the networks that judge: emoji pasted on backdrops, and the ways a picture can be damaged.

Everything here is a pure function of explicit numbers (one row per picture), so item k of a stream is the same picture
in every batch size and after every resume. Pixels are floats in [0, 1] here; networks receive [-1, 1].
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from limner.data.emoji import Emoji
from limner.data.scenes.scene import Background

BACKDROPS: tuple[Background, ...] = ("white", "plain", "gradient", "texture")
DAMAGES = ("none", "blur", "noise", "blocks", "warp")


def draws(seed: int, start: int, size: int, count: int) -> Float[Tensor, "b u"]:
    """``count`` uniform numbers in [0, 1) for each of the items ``start .. start + size - 1`` of a stream."""
    rows = [np.random.default_rng((seed, k)).random(count, dtype=np.float32) for k in range(start, start + size)]
    return torch.from_numpy(np.stack(rows))


def grain(seed: int, start: int, size: int, side: int) -> Float[Tensor, "b 3 s s"]:
    """Standard normal noise, one field per item of the stream."""
    rows = [
        np.random.default_rng((seed, k, 1)).standard_normal((3, side, side), dtype=np.float32)
        for k in range(start, start + size)
    ]
    return torch.from_numpy(np.stack(rows))


def to_tensor(images: Iterable[np.ndarray]) -> Float[Tensor, "b 3 h w"]:
    """Stack ``[h, w, 3]`` uint8 arrays into ``[b, 3, h, w]`` floats in [0, 1]."""
    return torch.from_numpy(np.stack(list(images))).permute(0, 3, 1, 2).float() / 255


def to_network(images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
    """From [0, 1] to the [-1, 1] of ``limner.types.Image``, channels last in memory (faster convolutions on a CPU)."""
    return (images.clamp(0, 1) * 2 - 1).contiguous(memory_format=torch.channels_last)


def cutouts(emoji: Emoji, size: int) -> Tensor:
    """All emoji of the data set as premultiplied RGBA, ``[n, 4, size, size]`` uint8."""
    table = np.stack([emoji.rgba(i, size) for i in range(len(emoji))]).astype(np.float32) / 255
    table[..., :3] *= table[..., 3:]
    return torch.from_numpy((table * 255).round().astype(np.uint8)).permute(0, 3, 1, 2).contiguous()


def backdrop(kind: int, u: np.ndarray, side: int) -> np.ndarray:
    """One backdrop ``[side, side, 3]`` of kind ``BACKDROPS[kind]`` from twelve or more uniform numbers ``u``."""
    if kind == 0:
        return np.ones((side, side, 3), np.float32)
    first, second = u[0:3], u[3:6]
    if kind == 1:
        return np.broadcast_to(first, (side, side, 3)).astype(np.float32)
    y, x = np.mgrid[0:side, 0:side].astype(np.float32) / side - 0.5
    angle = 2 * math.pi * u[6]
    along = x * math.cos(angle) + y * math.sin(angle)
    if kind == 2:
        share = along / 1.4 + 0.5
    else:
        across = y * math.cos(angle) - x * math.sin(angle)
        waves = np.sin(2 * math.pi * (2 + 10 * u[7]) * along + 6 * u[8])
        if u[9] > 0.4:
            waves = waves * np.sin(2 * math.pi * (2 + 10 * u[10]) * across + 6 * u[11])
        share = 0.5 + 0.5 * waves
    return (first + (second - first) * share[..., None]).astype(np.float32)


def backdrops(kinds: Tensor, u: Float[Tensor, "b u"], side: int) -> Float[Tensor, "b 3 s s"]:
    """One backdrop per row."""
    rows = [backdrop(int(kind), row, side) for kind, row in zip(kinds, u.numpy(), strict=True)]
    return torch.from_numpy(np.stack(rows)).permute(0, 3, 1, 2)


def paste(
    rgba: Float[Tensor, "b 4 s s"],
    behind: Float[Tensor, "b 3 h w"],
    zoom: Float[Tensor, "b"],
    shift: Float[Tensor, "b 2"],
    angle: Float[Tensor, "b"],
    flip: Tensor,
) -> Float[Tensor, "b 3 h w"]:
    """Premultiplied cut-outs over a backdrop. ``zoom`` 1 fills the picture, ``shift`` is in half pictures (x, y),
    ``angle`` in radians, ``flip`` mirrors left and right where true."""
    side = torch.where(flip, -1.0, 1.0)
    cos, sin = torch.cos(angle) / zoom, torch.sin(angle) / zoom
    linear = torch.stack([torch.stack([cos * side, sin * side], 1), torch.stack([-sin, cos], 1)], 1)
    offset = -(linear @ shift[:, :, None])
    grid = F.affine_grid(torch.cat([linear, offset], 2), [len(rgba), 4, *behind.shape[2:]], align_corners=False)
    laid = F.grid_sample(rgba, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return laid[:, :3] + behind * (1 - laid[:, 3:])


def blur(images: Float[Tensor, "b 3 h w"], sigma: Float[Tensor, "b"]) -> Float[Tensor, "b 3 h w"]:
    """Gaussian blur with one ``sigma`` (pixels) per picture, as two matrix products; weights are normalised at the
    border. ``sigma`` 0 changes nothing."""

    def matrix(side: int) -> Tensor:
        distance = torch.arange(side)[:, None] - torch.arange(side)[None]
        spread = sigma.clamp(min=1e-3)[:, None, None]
        weights = torch.exp(-0.5 * (distance / spread) ** 2)
        return (weights / weights.sum(2, keepdim=True))[:, None]

    return matrix(images.shape[2]) @ images @ matrix(images.shape[3]).transpose(2, 3)


def _cosines() -> Float[Tensor, "8 8"]:
    """The orthonormal 8-point DCT-II matrix."""
    k, i = torch.arange(8)[:, None], torch.arange(8)[None]
    basis = torch.cos(math.pi * (2 * i + 1) * k / 16) * 0.5
    basis[0] /= math.sqrt(2)
    return basis


def blocks(images: Float[Tensor, "b 3 h w"], step: Float[Tensor, "b"]) -> Float[Tensor, "b 3 h w"]:
    """Round the DCT of every 8x8 block to multiples of ``step`` (in [0, 1] pixel units): what JPEG loses. Sides are
    multiples of 8; rows with ``step`` 0 are unchanged."""
    b, c, h, w = images.shape
    basis = _cosines()
    tiles = images.reshape(b, c, h // 8, 8, w // 8, 8).transpose(3, 4)
    width = step.clamp(min=1e-6)[:, None, None, None, None, None]
    rounded = (basis @ tiles @ basis.T / width).round() * width
    restored = (basis.T @ rounded @ basis).transpose(3, 4).reshape(b, c, h, w)
    return torch.where((step > 0)[:, None, None, None], restored, images)


def warp(
    images: Float[Tensor, "b 3 h w"], strength: Float[Tensor, "b"], field: Float[Tensor, "b 2 g g"]
) -> Float[Tensor, "b 3 h w"]:
    """Move pixels along a smooth random ``field`` (coarse standard normal grid), ``strength`` in half pictures."""
    _, _, h, w = images.shape
    smooth = F.interpolate(field, size=(h, w), mode="bicubic", align_corners=True).permute(0, 2, 3, 1)
    identity = F.affine_grid(torch.eye(2, 3)[None].expand(len(images), 2, 3), [len(images), 3, h, w], False)
    grid = identity + smooth * strength[:, None, None, None]
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def damage(
    images: Float[Tensor, "b 3 h w"], kind: Tensor, level: Float[Tensor, "b"], noise: Float[Tensor, "b 3 h w"]
) -> Float[Tensor, "b 3 h w"]:
    """Damage picture i by ``DAMAGES[kind[i]]`` at ``level[i]`` in [0, 1]: blur up to sigma 3 px, noise up to 0.2,
    block rounding up to 0.6, warping up to 0.12 half pictures (our choices: from just visible to obvious)."""

    def only(name: str, least: float, most: float) -> Tensor:
        return torch.where(kind == DAMAGES.index(name), least + (most - least) * level, 0.0)

    def rows(name: str) -> Tensor:
        return (kind == DAMAGES.index(name)).nonzero()[:, 0]

    result = images + noise * only("noise", 0.02, 0.2)[:, None, None, None]
    for name, least, most in (("blur", 0.5, 3.0), ("blocks", 0.08, 0.6), ("warp", 0.02, 0.12)):
        chosen, amount = rows(name), only(name, least, most)
        if len(chosen) == 0:
            continue
        picked = result[chosen]
        if name == "warp":
            result[chosen] = warp(picked, amount[chosen], noise[chosen, :2, :5, :5])
        else:
            result[chosen] = (blur if name == "blur" else blocks)(picked, amount[chosen])
    return result.clamp(0, 1)


def signatures(rgba: Tensor, count: int) -> Float[Tensor, "n d"]:
    """A first guess of what tells pictures apart: the leading ``count`` principal components of their thumbnails on
    white, whitened, each row scaled to variance 1. A classifier of 1870 names that starts with these rows needs a few
    views per name where one that starts at random needs hundreds."""
    flat = rgba.float() / 255
    thumbnails = F.avg_pool2d(flat[:, :3] + 1 - flat[:, 3:], rgba.shape[2] // 16).flatten(1)
    left, _, _ = torch.linalg.svd(thumbnails - thumbnails.mean(0), full_matrices=False)
    return F.layer_norm(left[:, :count], (count,))
