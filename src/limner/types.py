"""The vocabulary of the house: axes, layouts, tokens, random draws.

Axis legend, used in every shape annotation::

    b  batch (images)          n  tokens of an image        m  tokens wanted now (m <= n)
    c  channels of an image or of a latent token            d  width of a transformer
    h w  height and width      k  condition tokens          v  entries of a codebook or vocabulary
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Sequence
from itertools import accumulate
from math import prod
from operator import index
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from limner.errors import InputError

Image: TypeAlias = Float[Tensor, "b 3 h w"]  # pixels in [-1, 1]
Clip: TypeAlias = Float[Tensor, "b 3 t h w"]  # frames of a video in [-1, 1]
Size: TypeAlias = int | tuple[int, int]  # pixels: a side of a square picture, or its height and width
Ids: TypeAlias = Int[Tensor, "b n"]  # discrete tokens: rows of a codebook
Latents: TypeAlias = Float[Tensor, "b n c"]  # continuous tokens, unit variance per channel
Tokens: TypeAlias = Ids | Latents
Steps: TypeAlias = Int[Tensor, "b n"]  # when is each token predicted? 0 = given, equal numbers = together
Visible: TypeAlias = Bool[Tensor, "b n n"]  # may slot i (row) look at slot j (column)?


class Layout(NamedTuple):
    """Where tokens lie: the lengths of the axes of each grid, of any number of axes, tokens in raster order (the last
    axis runs fastest).

    ``((16, 16),)`` is an image, ``((12, 8),)`` one that is higher than wide, ``((32,),)`` a line of 32 tokens without
    places, ``((4, 8, 8),)`` four frames of a clip, ``((1, 1), (2, 2), (4, 4))`` a pyramid of scales. ``nested``: any
    first tokens, at least one, decode to an image; otherwise all of them do, or the first few grids.
    """

    grids: tuple[tuple[int, ...], ...]
    nested: bool = False

    @property
    def lengths(self) -> tuple[int, ...]:
        """Number of tokens of each grid."""
        return tuple(prod(grid) for grid in self.grids)

    @property
    def length(self) -> int:
        """Number of tokens over all grids."""
        return sum(self.lengths)

    @property
    def ends(self) -> tuple[int, ...]:
        """Number of tokens up to the end of each grid."""
        return tuple(accumulate(self.lengths))

    def patched(self, side: int) -> Layout:
        """The grids of tokens that each hold ``side`` x ``side`` of these; rows and columns are multiples of it."""
        if side == 1:
            return self
        return self._replace(grids=tuple((*axes, h // side, w // side) for *axes, h, w in self.grids))


def raster(rows: int, columns: int, device: torch.device) -> Int[Tensor, "n 2"]:
    """Row and column of every cell of a grid, row by row."""
    cells = torch.arange(rows * columns, device=device)
    return torch.stack([cells // columns, cells % columns], 1)


class Patches(NamedTuple):
    """What a vision encoder makes of a batch of images: any number of patches, in any order, of no square demanded.

    ``vectors``: one per patch. ``positions``: row and column of each patch, counted in patches from the top left.
    ``pooled``: one vector per image. ``weight``: how much each patch counts to what prunes or merges patches, such as
    the attention that it receives or how many patches it stands for; None where all count alike.
    """

    vectors: Float[Tensor, "b n d"]
    positions: Int[Tensor, "b n 2"]
    pooled: Float[Tensor, "b d"]
    weight: Float[Tensor, "b n"] | None = None

    @classmethod
    def on_grid(
        cls, vectors: Float[Tensor, "b n d"], rows: int, columns: int, pooled: Float[Tensor, "b d"] | None = None
    ) -> Patches:
        """The patches of a whole grid, row by row; ``pooled`` is their mean if it is not given."""
        positions = raster(rows, columns, vectors.device).expand(len(vectors), -1, -1)
        return cls(vectors, positions, vectors.mean(1) if pooled is None else pooled)

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns that the positions span; raises `InputError` unless the patches fill them, row by row."""
        rows, columns = (int(last) + 1 for last in self.positions.amax((0, 1)))
        whole = self.positions @ self.positions.new_tensor([columns, 1])
        if not torch.equal(whole[0], torch.arange(rows * columns, device=whole.device)):
            raise InputError(
                f"{whole.shape[1]} patches do not fill their grid of {rows}x{columns}, which this model needs: use it "
                "without pruning or merging patches"
            )
        return rows, columns

    def select(self, index: Int[Tensor, "b kept"]) -> Patches:
        """These patches of each image, in the order of ``index``."""
        rows = torch.arange(len(index), device=index.device)[:, None]
        weight = None if self.weight is None else self.weight[rows, index]
        return Patches(self.vectors[rows, index], self.positions[rows, index], self.pooled, weight)


@runtime_checkable
class Tokenizer(Protocol):
    """Encodes images as tokens and decodes tokens to images. Instead of an image it may take clips, see `Clip`."""

    layout: Layout
    size: Size

    def encode(self, image: Any, rng: Rng | None = None) -> Tokens:
        """Tokens of the layout; ``rng`` samples them where they are random, and without it the most likely are taken.

        ``image``: an `Image`, or one picture or several as `limner.data.preprocess` takes them. Raises `InputError` for
        what is no picture, and for images of a size that the tokenizer cannot read."""

    def decode(self, tokens: Any, rng: Rng | None = None, steps: int | None = None) -> Image:
        """The image of all tokens, of the first few grids, or if the layout is nested of any first tokens.

        A decoder that samples draws its noise from ``rng`` (None: from seed 0 for each image) in ``steps`` steps (None:
        its own number). One that computes the image ignores both. Raises `InputError` for other numbers of tokens, and
        for what are none: tokens may be a tensor, an array or lists.
        """


def whole(value: Any, name: str, least: int | None = None) -> int:
    """A number without fraction as Python's own, whether Python, numpy or torch made it; raises `InputError` for others
    and for those below ``least``, by the ``name`` that people know it by."""
    try:
        number = index(value)
    except TypeError:
        raise InputError(f"{name} is {value!r}, but must be a whole number") from None
    if least is not None and number < least:
        raise InputError(f"{name} is {number}, but must be at least {least}")
    return number


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

    part: tuple[int, int, int] | None = None
    axis: int | None = 0

    def __init__(self, seeds: int | Sequence[int], device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.single = isinstance(seeds, int)
        rows = [seeds] if isinstance(seeds, int) else list(seeds)
        self.generators = [torch.Generator().manual_seed(seed) for seed in rows]

    @classmethod
    def of_part(cls, seed: int, device: torch.device | str, *, start: int, size: int, batch: int) -> Rng:
        """For rows ``start .. start + size`` of a batch: what ``Rng(seed)`` draws for these rows of the whole batch.
        Draws that are not a fixed number per row are the part's own."""
        rng = cls(seed, device)
        rng.part = start, size, batch
        rng.generators.append(torch.Generator().manual_seed(derive_seed(seed, "part", start)))
        return rng

    def along(self, axis: int | None) -> Rng:
        """The same random numbers, where ``axis`` of what is drawn is the batch; None: one draw serves the batch."""
        other = copy.copy(self)
        other.axis = axis
        return other

    def _draw(self, kind: str, shape: Sequence[int]) -> Tensor:
        draw, axis = getattr(torch, kind), self.axis
        if self.part is not None and axis is not None:
            return self._draw_part(draw, list(shape), axis).to(self.device)
        if self.single:
            return draw(tuple(shape), generator=self.generators[0]).to(self.device)
        rows = 1 if axis is None else shape[axis]
        if rows != len(self.generators):
            raise ValueError(f"{len(self.generators)} seeds cannot draw a batch of {rows}")
        if axis is None:
            return draw(tuple(shape), generator=self.generators[0]).to(self.device)
        row = (*shape[:axis], *shape[axis + 1 :])
        return torch.stack([draw(row, generator=g) for g in self.generators], axis).to(self.device)

    def _draw_part(self, draw: Callable[..., Tensor], shape: list[int], axis: int) -> Tensor:
        assert self.part is not None
        start, size, batch = self.part
        whole, own = self.generators
        per_row, rest = divmod(shape[axis], size)
        if rest or not per_row:
            return draw(shape, generator=own)
        wanted = shape[axis]
        shape[axis] = per_row * batch
        return draw(shape, generator=whole).narrow(axis, per_row * start, wanted)

    def normal(self, *shape: int) -> Tensor:
        """Standard normal draws; the first axis is the batch, see `along`."""
        return self._draw("randn", shape)

    def uniform(self, *shape: int) -> Tensor:
        """Uniform draws in [0, 1); the first axis is the batch, see `along`."""
        return self._draw("rand", shape)

    def row(self, index: int) -> Rng:
        """The draws of one image, a batch of its own; where one seed serves all, they are drawn one after the other."""
        one = copy.copy(self)
        one.generators = self.generators if self.single else [self.generators[index]]
        return one

    def permutations(self, batch: int, count: int) -> Tensor:
        """``[batch, count]``: an independent uniform permutation of ``0 .. count-1`` per row."""
        return self.uniform(batch, count).argsort(dim=1)
