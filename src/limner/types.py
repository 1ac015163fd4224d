"""The vocabulary of the house: axes, layouts, tokens, random draws.

Axis legend, used in every shape annotation::

    b  batch (images)          n  tokens of an image        m  tokens wanted now (m <= n)
    c  channels of an image or of a latent token            d  width of a transformer
    h w  height and width      k  condition tokens          v  entries of a codebook or vocabulary
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple, Protocol, TypeAlias, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

Image: TypeAlias = Float[Tensor, "b 3 h w"]  # pixels in [-1, 1]
Ids: TypeAlias = Int[Tensor, "b n"]  # discrete tokens: rows of a codebook
Latents: TypeAlias = Float[Tensor, "b n c"]  # continuous tokens, unit variance per channel
Tokens: TypeAlias = Ids | Latents
Steps: TypeAlias = Int[Tensor, "b n"]  # when is each token predicted? 0 = given, equal numbers = together
Visible: TypeAlias = Bool[Tensor, "b n n"]  # may slot i (row) look at slot j (column)?


class Layout(NamedTuple):
    """Where tokens lie: one ``(height, width)`` per grid. ``((8, 8),)`` is a square image, ``((1, 32),)`` a line of 32
    tokens, ``((1, 1), (2, 2), (4, 4))`` a pyramid of scales."""

    grids: tuple[tuple[int, int], ...]

    @property
    def length(self) -> int:
        """Number of tokens over all grids."""
        return sum(height * width for height, width in self.grids)

    @property
    def ends(self) -> tuple[int, ...]:
        """Number of tokens up to the end of each grid."""
        return tuple(accumulate(height * width for height, width in self.grids))


@runtime_checkable
class Tokenizer(Protocol):
    """Takes a picture apart into tokens and puts it together again; of a pyramid, the first scales make one too."""

    layout: Layout
    size: int

    def encode(self, image: Image) -> Tokens: ...

    def decode(self, tokens: Tokens) -> Image: ...


def derive_seed(*parts: int | str) -> int:
    """A 63-bit seed that depends on every part: ``derive_seed(run_seed, "noise", images_seen)``.

    Progress is counted in images, so a run that resumes at image N draws what the uninterrupted run would have drawn.
    """
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


class Rng:
    """All randomness of a loss or a sampler, drawn row by row so that a batch equals its images drawn one by one.

    ``seeds`` holds one seed per image of the batch, or a single seed for the whole batch (faster; used in training).
    Draws are made on the CPU in fp32 and then moved, so pictures agree between devices.
    """

    def __init__(self, seeds: int | Sequence[int], device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.single = isinstance(seeds, int)
        rows = [seeds] if isinstance(seeds, int) else list(seeds)
        self.generators = [torch.Generator().manual_seed(seed) for seed in rows]

    def _draw(self, kind: str, shape: Sequence[int]) -> Tensor:
        draw = getattr(torch, kind)
        if self.single:
            return draw(tuple(shape), generator=self.generators[0]).to(self.device)
        if shape[0] != len(self.generators):
            raise ValueError(f"{len(self.generators)} seeds cannot draw a batch of {shape[0]}")
        return torch.stack([draw(tuple(shape[1:]), generator=g) for g in self.generators]).to(self.device)

    def normal(self, *shape: int) -> Tensor:
        """Standard normal draws; the first axis is the batch."""
        return self._draw("randn", shape)

    def uniform(self, *shape: int) -> Tensor:
        """Uniform draws in [0, 1); the first axis is the batch."""
        return self._draw("rand", shape)

    def permutations(self, batch: int, count: int) -> Tensor:
        """``[batch, count]``: an independent uniform permutation of ``0 .. count-1`` per row."""
        return self.uniform(batch, count).argsort(dim=1)
