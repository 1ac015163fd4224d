"""A clip as tokens, frame by frame, by any tokenizer of images.

tokens(clip) = [tokens(frame 1) | tokens(frame 2) | ...]          grid (t, h, w) of frames, rows and columns
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn

from limner.errors import InputError
from limner.tokenizers.tokenizer import QuantizingTokenizer
from limner.types import Clip, Layout, Rng, Tokens


class FramewiseTokenizer(nn.Module):
    """A tokenizer of clips.

    Args:
        base: the tokenizer of a frame, of one grid; its weights stay as they are.
        frames: of a clip.
    """

    def __init__(self, base: QuantizingTokenizer, frames: int) -> None:
        super().__init__()
        if len(base.layout.grids) > 1:
            raise InputError("a pyramid of tokens has no grid of frames: choose a tokenizer such as vae-64")
        (grid,) = base.layout.grids
        self.base, self.frames, self.size = base, frames, base.size
        self.layout = Layout(((frames, *grid),))
        self.quantizer = base.quantizer

    def encode(self, image: Clip, rng: Rng | None = None) -> Tokens:
        """Tokens frame after frame, each in raster order; raises `InputError` for clips of another length."""
        shape = list(getattr(image, "shape", ()))
        if not isinstance(image, Tensor) or image.ndim != 5 or image.shape[2] != self.frames:
            raise InputError(
                f"this tokenizer reads clips of {self.frames} frames, tensors [b 3 t h w], not a "
                f"{type(image).__name__} {shape or ''}".rstrip()
            )
        tokens = [self.base.encode(frame, rng) for frame in image.unbind(2)]
        return torch.cat(tokens, dim=1)

    def decode(self, tokens: Tokens, rng: Rng | None = None, steps: int | None = None) -> Clip:
        """The clip of these tokens, in [-1, 1]."""
        if tokens.shape[1] != self.layout.length:
            raise InputError(f"{tokens.shape[1]} tokens given, but a clip has {self.layout.length}")
        frames = rearrange(tokens, "b (t n) ... -> t b n ...", t=self.frames)
        return torch.stack([self.base.decode(frame, rng, steps) for frame in frames], dim=2)
