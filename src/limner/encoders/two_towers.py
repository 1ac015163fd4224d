"""Two towers that meet in one space: pictures and captions as unit vectors (CLIP, arXiv:2103.00020, Figure 3).

    u = P_image pooled(image) / |...|,    v = P_text text(ids) / |...|,    L = objective(u, v)

The objective makes it CLIP (`InfoNce`) or SigLIP (`PairwiseSigmoid`).
"""

from __future__ import annotations

from collections.abc import Callable

from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from limner.encoders.encoder import VisionEncoder
from limner.encoders.text import TextTransformer
from limner.types import Image

Objective = Callable[[Tensor, Tensor], Tensor]


class TwoTowers(nn.Module):
    """A vision and a text tower with a loss over pairs.

    Args:
        encoder: sees the picture.
        text: reads the caption.
        objective: an `InfoNce` or `PairwiseSigmoid`.
        joint: channels of the common space.
    """

    def __init__(self, encoder: VisionEncoder, text: TextTransformer, objective: Objective, *, joint: int) -> None:
        super().__init__()
        self.encoder, self.text, self.objective = encoder, text, objective
        self.image_projection = nn.Linear(encoder.width, joint, bias=False)
        self.text_projection = nn.Linear(text.width, joint, bias=False)
        for projection in (self.image_projection, self.text_projection):
            nn.init.normal_(projection.weight, std=projection.in_features**-0.5)

    def loss(self, image: Image, ids: Int[Tensor, "b k"]) -> Float[Tensor, ""]:
        """The objective over a batch of pairs."""
        return self.objective(self.encode_image(image), self.encode_ids(ids))

    def encode_image(self, image: Image) -> Float[Tensor, "b e"]:
        """Pictures as unit vectors."""
        return functional.normalize(self.image_projection(self.encoder(image).pooled).float(), dim=1)

    def encode_ids(self, ids: Int[Tensor, "b k"]) -> Float[Tensor, "b e"]:
        """Captions as unit vectors."""
        return functional.normalize(self.text_projection(self.text(ids)).float(), dim=1)
