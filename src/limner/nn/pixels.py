"""Between pictures as arrays (uint8, [h, w, 3]) and as tensors (fp32 in [-1, 1], [b, 3, h, w])."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor


def to_tensor(pictures: Sequence[UInt8[np.ndarray, "h w 3"]]) -> Float[Tensor, "b 3 h w"]:
    """Pictures of one size as a batch in [-1, 1], channels-last in memory."""
    batch = torch.from_numpy(np.stack(pictures))
    return batch.permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)


def to_arrays(image: Float[Tensor, "b 3 h w"]) -> list[UInt8[np.ndarray, "h w 3"]]:
    """A batch in [-1, 1] (values beyond are clipped) as rounded pictures."""
    pixels = image.detach().float().cpu().clamp(-1.0, 1.0).add(1.0).mul(127.5).round().to(torch.uint8)
    return list(pixels.permute(0, 2, 3, 1).contiguous().numpy())
