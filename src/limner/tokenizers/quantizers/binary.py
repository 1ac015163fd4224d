"""Lookup-free quantization: the sign of every channel is a bit of the id (Yu et al., MAGVIT-v2, arXiv:2310.05737).

``z_q = sign(z)`` (Eq. 3). A penalty makes every latent sure of its code and the batch use all of them (Eq. 5)::

    entropy * (E[H(p(. | z))] - diversity * H(E[p(. | z)])) + commitment * |z - sg(z_q)|^2

with ``p(code | z) ~ exp(-|z - code|^2 / temperature)``. Given z the bits are independent, so the first entropy is a sum
over them; the second needs the probability of every code: 2^bits numbers per latent.
"""

from __future__ import annotations

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from limner.nn.whole_batch import Coupling
from limner.tokenizers.quantizers.digits import capacity, compose, decompose
from limner.tokenizers.quantizers.quantizer import Bottleneck, Discrete, Features, usage
from limner.types import Ids, Rng

Bits = Float[Tensor, "*t bits"]


def binary_entropy(log_odds: Bits) -> Bits:
    """Entropy in nats of a bit of these log-odds: ``softplus(x) - x sigmoid(x)``."""
    return functional.softplus(log_odds) - log_odds * torch.sigmoid(log_odds)


def signs(z: Bits) -> Bits:
    """1 where positive, else -1."""
    return torch.where(z > 0, 1.0, -1.0)


class LookupFreeQuantizer(Discrete):
    """``2 ** bits`` codes, the corners of a cube.

    Args:
        bits: of an id, and channels; training keeps ``2 ** bits`` probabilities per latent, so at most about 14.
        entropy: weight of the entropies; this, ``diversity`` and ``temperature`` are those of vector-quantize-pytorch.
        diversity: weight of the codes' entropy over the batch within them.
        commitment: weight of the squared distance to the chosen corner.
        temperature: in squared distance.
    """

    def __init__(
        self,
        bits: int,
        *,
        entropy: float = 0.1,
        diversity: float = 1.0,
        commitment: float = 0.25,
        temperature: float = 0.01,
    ) -> None:
        super().__init__()
        self.features = self.channels = bits
        self.radices = (2,) * bits
        self.entries = capacity(self.radices)
        self.entropy, self.diversity = entropy, diversity
        self.commitment, self.temperature = commitment, temperature

    @property
    def coupling(self) -> Coupling | None:
        """The entropy of the mean is one of the whole batch."""
        return (
            Coupling("its codes are spread over the whole batch (an entropy of their mean)") if self.entropy else None
        )

    def entropies(self, z: Float[Tensor, "t bits"]) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """Mean entropy of a latent's code, and entropy of the mean over latents, in nats."""
        corners = 2.0 * decompose(torch.arange(self.entries, device=z.device), self.radices) - 1.0
        own = binary_entropy(4.0 / self.temperature * z).sum(1).mean()
        mean = (2.0 / self.temperature * z @ corners.T).softmax(1).mean(0)
        return own, -(mean * mean.clamp_min(1e-12).log()).sum()

    def forward(self, features: Features, rng: Rng) -> Bottleneck:
        z = rearrange(features.float(), "b c h w -> (b h w) c")
        chosen = signs(z.detach())
        own, shared = self.entropies(z)
        penalty = self.entropy * (own - self.diversity * shared) + self.commitment * functional.mse_loss(z, chosen)
        batch, _, height, width = features.shape
        quantized = z + (chosen - z).detach()
        latents = rearrange(quantized, "(b h w) c -> b c h w", b=batch, h=height, w=width)
        metrics = usage(compose((chosen > 0).long(), self.radices), self.entries)
        return Bottleneck(latents, penalty, {**metrics, "entropy": own.detach(), "codes": shared.detach()})

    def tokens(self, features: Features, rng: Rng | None = None) -> Ids:
        return compose((rearrange(features, "b c h w -> b (h w) c") > 0).long(), self.radices)

    def latents(self, tokens: Ids, height: int, width: int) -> Features:
        rows = 2.0 * decompose(tokens, self.radices) - 1.0
        return rearrange(rows, "b (h w) c -> b c h w", h=height, w=width)
