"""What a model that sees a picture may be trained to reconstruct of it: pixels, latents, or another's features.

    values = target.values(image, rng)     [b m c], one row per token of the picture
    image  = target.picture(values)        where there is a way back

Tokens lie in a square, and each stands for all that lies in its cell. Tokenizers and encoders are frozen, run in fp32
and are part of no module's state.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, cast, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from limner.data.images import extent
from limner.encoders.encoder import VisionEncoder
from limner.errors import InputError
from limner.tokenizers.folding import fold, unfold
from limner.types import Image, Latents, Layout, Rng, Size

Values = Float[Tensor, "b m c"]


@runtime_checkable
class Target(Protocol):
    """Something of a picture in ``channels`` numbers per token."""

    @property
    def channels(self) -> int: ...

    def values(self, image: Image, rng: Rng) -> Values:
        """What is to be reconstructed of a picture; drawn by ``rng`` where it is random."""

    def picture(self, values: Values) -> Image | None:
        """The picture of these values, or None where none can be made of them."""


@runtime_checkable
class LatentTokenizer(Protocol):
    """A tokenizer of square pictures whose tokens are latents, drawn from a posterior if ``rng`` is given."""

    layout: Layout
    size: Size

    def encode(self, image: Image, rng: Rng | None = None) -> Latents: ...

    def decode(self, tokens: Latents, rng: Rng | None = None, steps: int | None = None) -> Image: ...

    def at(self, size: Size) -> LatentTokenizer:
        """The same for pictures of another size."""


class Pixels:
    """The pixels of each cell of a picture of ``size`` pixels, in [-1, 1]: ROSS-R on raw RGB values."""

    def __init__(self, size: int, slots: int) -> None:
        grid = side_of(slots)
        if size % grid:
            raise InputError(f"{size} pixels do not divide into {grid} cells a side: use pictures of a multiple")
        self.size, self.patch = size, size // grid
        self.channels = 3 * self.patch**2

    def values(self, image: Image, rng: Rng) -> Values:
        return fold(image.flatten(2).mT, (self.size, self.size), self.patch)

    def picture(self, values: Values) -> Image:
        return (
            unfold(values, (self.size, self.size), self.patch).mT.unflatten(2, (self.size, self.size)).clamp(-1.0, 1.0)
        )


class FoldedLatents:
    """A frozen tokenizer's latents, those of each cell folded into its channels (ROSS folds 2x2 of a KL autoencoder's).

    Args:
        tokenizer: of continuous tokens; pictures are resized to its size.
        channels: of one of its latents.
        slots: tokens of a picture.
    """

    @classmethod
    def nearest(cls, tokenizer: LatentTokenizer, channels: int, slots: int, size: int) -> FoldedLatents:
        """Latents of the tokenizer at its own size if these can be shared out, and otherwise at the size nearest to
        pictures of ``size`` pixels at which they can: ROSS takes FLUX.1's at 432 for 27x27 tokens of SigLIP's 384.
        """
        ((grid, _),), side = tokenizer.layout.grids, side_of(slots)
        slot = extent(tokenizer.size)[0] // grid * side  # pixels, were there one latent per slot
        fits = grid % side == 0 or size <= slot / 2
        return cls(tokenizer if fits else tokenizer.at(slot * max(round(size / slot), 1)), channels, slots)

    def __init__(self, tokenizer: LatentTokenizer, channels: int, slots: int) -> None:
        (self.grid,) = tokenizer.layout.grids
        rows, grid = self.grid[0], side_of(slots)
        if rows % grid:
            raise InputError(f"{rows}x{rows} latents do not divide among {grid}x{grid} slots: use another patch")
        self.tokenizer, self.patch = tokenizer, rows // grid
        self.channels = channels * self.patch**2
        cast(nn.Module, tokenizer).requires_grad_(False).eval()

    def values(self, image: Image, rng: Rng) -> Values:
        """Drawn from the posterior."""
        with frozen(self.tokenizer, image):
            return fold(
                self.tokenizer.encode(resized(image, extent(self.tokenizer.size)[0]), rng), self.grid, self.patch
            )

    def picture(self, values: Values) -> Image:
        with frozen(self.tokenizer, values):
            return self.tokenizer.decode(unfold(values.float(), self.grid, self.patch))


class Features:
    """A frozen encoder's patches, one per token of the image: what a teacher sees there."""

    def __init__(self, encoder: VisionEncoder, slots: int) -> None:
        self.encoder, self.channels, self.slots = encoder, encoder.width, slots
        cast(nn.Module, encoder).requires_grad_(False).eval()

    def values(self, image: Image, rng: Rng) -> Values:
        with frozen(self.encoder, image):
            vectors = self.encoder(resized(image, self.encoder.size)).vectors
        if vectors.shape[1] != self.slots:
            raise InputError(
                f"the teacher sees {vectors.shape[1]} patches, but an image has {self.slots} tokens: use another"
            )
        return vectors

    def picture(self, values: Values) -> None:
        """None: features have no picture."""
        return


def side_of(slots: int) -> int:
    """Slots on a side of a square; raises `InputError` if they make none."""
    side = math.isqrt(slots)
    if side**2 != slots:
        raise InputError(f"{slots} slots make no square, so none has a place in the picture: keep one per patch")
    return side


def resized(image: Image, size: int) -> Float[Tensor, "b 3 size size"]:
    """Square pictures of ``size`` pixels, bilinear."""
    if image.shape[-1] == size:
        return image
    return functional.interpolate(image, size=(size, size), mode="bilinear")


@contextmanager
def frozen(module: object, beside: Tensor) -> Iterator[None]:
    """No gradients, no reduced precision, and the module where the tensor is."""
    cast(nn.Module, module).to(beside.device)
    with torch.no_grad(), torch.autocast(beside.device.type, enabled=False):
        yield
