"""Two linear layers (Liu et al., LLaVA-1.5, arXiv:2310.03744, Section 3.2): what other connectors are compared with."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from limner.connectors.connector import Words
from limner.types import Patches


class MlpConnector(nn.Module):
    """``W2 gelu(W1 f)`` of every patch.

    Args:
        features: channels of a patch.
        width: channels of a word.
        normalised: bring every vector to the mean square length of a word by a LayerNorm, as a control for connectors
            whose mixtures of words are of bounded length.
        hidden: inner channels; as many as a word has if not given.
    """

    def __init__(self, features: int, width: int, *, normalised: bool = False, hidden: int | None = None) -> None:
        super().__init__()
        self.fc1 = nn.Linear(features, hidden or width)
        self.fc2 = nn.Linear(hidden or width, width)
        self.norm = nn.LayerNorm(width, elementwise_affine=False) if normalised else nn.Identity()
        self.normalised = normalised

    def forward(self, patches: Patches, words: Words) -> Float[Tensor, "b n d"]:
        """One vector per patch."""
        vectors = self.norm(self.fc2(functional.gelu(self.fc1(patches.vectors))))
        return vectors * words.detach().square().mean().sqrt() if self.normalised else vectors
