"""A pre-trained encoder with its vocabulary: what is saved, and what reads captions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor, nn

from limner.data.preprocess import Pictures, prepared
from limner.encoders.encoder import VisionEncoder, Vocabulary
from limner.types import Image


@runtime_checkable
class CaptionLearner(Protocol):
    """An encoder that learns from captions: a `SubwordClassifier` or `TwoTowers`."""

    @property
    def encoder(self) -> VisionEncoder: ...

    def loss(self, image: Image, ids: Int[Tensor, "b k"]) -> Float[Tensor, ""]: ...

    def encode_image(self, image: Image) -> Float[Tensor, "b e"]: ...

    def encode_ids(self, ids: Int[Tensor, "b k"]) -> Float[Tensor, "b e"]: ...


class ImageTextModel(nn.Module):
    """Matches pictures with captions: an `limner.encoders.encoder.ImageText`.

    Args:
        learner: the encoder and its text side.
        subwords: the vocabulary it was trained with.
    """

    former_names: Mapping[str, str] = {"taught.": "learner."}  # of weights saved before

    def __init__(self, learner: CaptionLearner, subwords: Vocabulary) -> None:
        super().__init__()
        self.learner, self.subwords = learner, subwords

    @property
    def encoder(self) -> VisionEncoder:
        """The encoder by itself."""
        return self.learner.encoder

    def encode_image(self, image: Pictures) -> Float[Tensor, "b e"]:
        """Pictures in the common space: one or several, as `limner.data.preprocess` takes them."""
        return self.learner.encode_image(prepared(image, self, self.encoder.size))

    def encode_text(self, captions: Sequence[str]) -> Float[Tensor, "b e"]:
        """Captions in the common space; raises `InputError` for one that is too long."""
        device = next(self.parameters()).device
        return self.learner.encode_ids(self.subwords.encode(captions).to(device))
