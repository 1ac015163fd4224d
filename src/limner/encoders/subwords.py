"""A picture read as a set of subwords (SuperClass, arXiv:2411.03313, Section 3): encoder, pooling, linear classifier.

    l = W h(pooled) + b,    l_i = W h(f_i) + b      of every patch

With a plain head (no blocks, no norm) h is the identity and l is the mean of the l_i: a classifier trained with whole
captions says word by word what it sees where. The authors' head normalises once more, and only nearly so.
"""

from __future__ import annotations

from collections.abc import Callable

from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from limner.encoders.encoder import VisionEncoder
from limner.encoders.objectives.subword_set import SubwordFrequency
from limner.nn.transformer import Mlp
from limner.types import Image


class ResidualMlp(nn.Module):
    """An MLP on a normalised input, added to it."""

    def __init__(self, width: int, hidden: int, activation: Callable[[Tensor], Tensor], eps: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=eps)
        self.mlp = Mlp(width, hidden, activation)

    def forward(self, x: Float[Tensor, "... d"]) -> Float[Tensor, "... d"]:
        return x + self.mlp(self.norm(x))


class SubwordHead(nn.Module):
    """Vectors to logits of subwords.

    Args:
        width: of the vectors.
        vocabulary: how many subwords there are.
        depth: residual MLPs before the classifier.
        normalised: LayerNorm right before it, as the authors have it.
        hidden: inner channels of the MLPs; four times the width if not given.
        activation: of the MLPs.
        eps: of the normalisations.
    """

    def __init__(
        self,
        width: int,
        vocabulary: int,
        *,
        depth: int = 0,
        normalised: bool = True,
        hidden: int | None = None,
        activation: Callable[[Tensor], Tensor] = functional.gelu,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(ResidualMlp(width, hidden or 4 * width, activation, eps) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=eps) if normalised else nn.Identity()
        self.output = nn.Linear(width, vocabulary)
        nn.init.normal_(self.output.weight, std=width**-0.5)
        nn.init.zeros_(self.output.bias)

    def forward(self, x: Float[Tensor, "*n d"]) -> Float[Tensor, "*n v"]:
        for block in self.blocks:
            x = block(x)
        return self.output(self.norm(x))


class SubwordClassifier(nn.Module):
    """SuperClass: what is trained, with the statistics it is trained by.

    Args:
        encoder: sees the picture.
        head: reads its pooled vector, or any patch.
        frequency: what subwords weigh, and the loss.
    """

    def __init__(self, encoder: VisionEncoder, head: SubwordHead, frequency: SubwordFrequency) -> None:
        super().__init__()
        self.encoder, self.head, self.frequency = encoder, head, frequency

    def forward(self, image: Image) -> Float[Tensor, "b v"]:
        """Logits of subwords, of the whole picture."""
        return self.head(self.encoder(image).pooled).float()

    def patch_logits(self, image: Image) -> Float[Tensor, "b n v"]:
        """Logits of subwords, of every patch."""
        return self.head(self.encoder(image).vectors).float()

    def loss(self, image: Image, ids: Int[Tensor, "b k"]) -> Float[Tensor, ""]:
        """Cross-entropy against the subwords of the captions."""
        return self.frequency(self(image), ids)

    def encode_image(self, image: Image) -> Float[Tensor, "b v"]:
        """Log-probabilities of subwords; their inner product with a target is minus its loss."""
        return self(image).log_softmax(1)

    def encode_ids(self, ids: Int[Tensor, "b k"]) -> Float[Tensor, "b v"]:
        """The targets of captions."""
        return self.frequency.dense(ids)
