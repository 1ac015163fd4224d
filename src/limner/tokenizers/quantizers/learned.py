"""A codebook whose rows are learnt by gradient descent (van den Oord et al., arXiv:1711.00937, Eq. 3).

``z_q = z + sg(e_k - z)`` with ``k = argmin_j |z - e_j|^2``; the penalty is ``commitment * |z - sg(e_k)|^2 + pull *
|sg(z) - e_k|^2``, means over all values: the first holds the encoder to the rows it chose, the second pulls those rows
to what chose them. With ``normalize``, latents and rows have unit length (ViT-VQGAN, arXiv:2110.04627, Section 3.2).
"""

from __future__ import annotations

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from limner.nn.whole_batch import Coupling
from limner.tokenizers.quantizers.quantizer import Bottleneck, Discrete, Features, usage
from limner.types import Ids, Rng


class LearnedCodebook(Discrete):
    """Nearest neighbour in a codebook that is a parameter.

    Args:
        entries: rows of the codebook.
        channels: width of a row.
        commitment: weight of the encoder's part of the penalty.
        pull: weight of the codebook's part.
        normalize: compare, and hand on, directions only.
        entropy: weight of `assignment_entropy`, 0 in the papers' released models.
    """

    def __init__(
        self,
        entries: int,
        channels: int,
        *,
        commitment: float = 0.25,
        pull: float = 1.0,
        normalize: bool = False,
        entropy: float = 0.0,
    ) -> None:
        super().__init__()
        self.features = self.channels = channels
        self.entries, self.commitment, self.pull, self.normalize = entries, commitment, pull, normalize
        self.entropy = entropy
        self.codebook = nn.Parameter(torch.empty(entries, channels).uniform_(-1.0 / entries, 1.0 / entries))

    @property
    def coupling(self) -> Coupling | None:
        """The entropy of the mean is one of the whole batch."""
        return (
            Coupling("its codes are spread over the whole batch (an entropy of their mean)") if self.entropy else None
        )

    def rows(self) -> Float[Tensor, "v c"]:
        """The codebook as it is compared with."""
        return self._scaled(self.codebook.float())

    def nearest(self, z: Float[Tensor, "t c"]) -> Int[Tensor, "t"]:
        """Index of the nearest row of each vector, in fp32."""
        with torch.no_grad():
            return self.distances(z).argmin(1)

    def distances(self, z: Float[Tensor, "t c"]) -> Float[Tensor, "t v"]:
        """Squared distance of each vector to each row, up to a number per vector, in fp32."""
        with torch.autocast(z.device.type, enabled=False):
            rows = self.rows()
            return torch.addmm(rows.square().sum(1), self._scaled(z.float()), rows.T, alpha=-2.0)

    def forward(self, features: Features, rng: Rng) -> Bottleneck:
        z = rearrange(features.float(), "b c h w -> (b h w) c")
        ids = self.nearest(z)
        z, chosen = self._scaled(z), self._scaled(self.codebook.float()[ids])
        learning = features.requires_grad or self.codebook.requires_grad  # what stands still costs nothing
        commitment = float(learning) * self.commitment * functional.mse_loss(z, chosen.detach())
        pull = float(learning) * self.pull * functional.mse_loss(chosen, z.detach())
        quantized = z + (chosen - z).detach()
        batch, _, height, width = features.shape
        latents = rearrange(quantized, "(b h w) c -> b c h w", b=batch, h=height, w=width)
        metrics = {**usage(ids, self.entries), "commitment": commitment.detach(), "pull": pull.detach()}
        penalty = commitment + pull
        if self.entropy:
            penalty = penalty + self.entropy * assignment_entropy(self.distances(z))
        return Bottleneck(latents, penalty, metrics)

    def tokens(self, features: Features, rng: Rng | None = None) -> Ids:
        z = rearrange(features, "b c h w -> (b h w) c")
        return self.nearest(z).reshape(features.shape[0], -1)

    def latents(self, tokens: Ids, height: int, width: int) -> Features:
        rows = self._scaled(self.codebook[tokens])
        return rearrange(rows, "b (h w) c -> b c h w", h=height, w=width)

    def _scaled(self, vectors: Float[Tensor, "*t c"]) -> Float[Tensor, "*t c"]:
        return functional.normalize(vectors, dim=-1) if self.normalize else vectors


def assignment_entropy(distances: Float[Tensor, "t v"], temperature: float = 0.01) -> Float[Tensor, ""]:
    """Entropy of the soft choice ``softmax(-distances / temperature)`` of a vector, less that of the mean choice: small
    where each vector is sure of its row and all rows are chosen (MaskGIT's and LlamaGen's official code)."""
    scores = (-distances / temperature).log_softmax(-1)
    mean = scores.exp().mean(0)
    return -(scores.exp() * scores).sum(-1).mean() + (mean * (mean + 1e-5).log()).sum()
