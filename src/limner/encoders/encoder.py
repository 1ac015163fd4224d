"""What a vision encoder is to its users: an image to a vector for every patch, and one for the whole.

    vectors, positions, pooled, weight = encoder(image)         [b n d], [b n 2], [b d]

Connectors read vectors and positions, classifiers and contrastive losses ``pooled``. An image-text model also maps
captions into the space of images: ``encode_image(image) @ encode_text(captions).T`` says how well each caption fits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor

from limner.types import Image, Patches


@runtime_checkable
class VisionEncoder(Protocol):
    """Images to patches of ``width`` channels; ``size``: pixels on a side of the images that it was trained on."""

    @property
    def size(self) -> int: ...

    @property
    def width(self) -> int: ...

    def __call__(self, image: Image) -> Patches: ...


@runtime_checkable
class Around(VisionEncoder, Protocol):
    """An encoder made of another, whose weights are all that it has."""

    encoder: VisionEncoder


def innermost(encoder: VisionEncoder) -> VisionEncoder:
    """The encoder that all others are around."""
    return innermost(encoder.encoder) if isinstance(encoder, Around) else encoder


@runtime_checkable
class Vocabulary(Protocol):
    """Captions to rows of subword ids, padded with 0 to one length."""

    def encode(self, captions: Sequence[str]) -> Int[Tensor, "b k"]: ...


@runtime_checkable
class ImageText(Protocol):
    """Pictures and captions in one space, where an inner product says how well they fit."""

    def encode_image(self, image: Image) -> Float[Tensor, "b e"]: ...

    def encode_text(self, captions: Sequence[str]) -> Float[Tensor, "b e"]: ...
