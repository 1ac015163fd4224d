"""What an encoder is to those who use it: a vector for every patch of a picture, and one for the whole.

    features = encoder.features(image)      [b n d], patches row by row
    pooled = encoder.pooled(image)          [b d]

Connectors read the first, classifiers and contrastive losses the second. A model that was taught by captions also puts
words where pictures lie: ``encode_image(image) @ encode_text(captions).T`` says how well each caption fits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor

from limner.types import Image


@runtime_checkable
class VisionEncoder(Protocol):
    """Sees pictures of ``size`` pixels as ``grid`` x ``grid`` patches of ``width`` channels."""

    @property
    def size(self) -> int: ...

    @property
    def grid(self) -> int: ...

    @property
    def width(self) -> int: ...

    def features(self, image: Image) -> Float[Tensor, "b n d"]: ...

    def pooled(self, image: Image) -> Float[Tensor, "b d"]: ...


@runtime_checkable
class Vocabulary(Protocol):
    """Captions to rows of subword ids, padded with 0 to one length."""

    def encode(self, captions: Sequence[str]) -> Int[Tensor, "b k"]: ...


@runtime_checkable
class ImageText(Protocol):
    """Pictures and captions in one space, where an inner product says how well they fit."""

    def encode_image(self, image: Image) -> Float[Tensor, "b e"]: ...

    def encode_text(self, captions: Sequence[str]) -> Float[Tensor, "b e"]: ...
