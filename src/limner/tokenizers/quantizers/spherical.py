"""Binary spherical quantization: latents on a sphere, codes on its corners (Zhao et al., arXiv:2406.07548).

``u = z / |z|``, ``u_q = sign(u) / sqrt(bits)``: no latent is further from its code than the next corner,
so nothing need hold it there. The penalty is that of `LookupFreeQuantizer`, ``entropy * (E[H(p(. | u))] - diversity *
H(E[p(. | u)]))``, with bits taken as independent in the second entropy too (Eq. 8): its upper bound, which costs as
many numbers as there are bits, so ids may have dozens.
"""

from __future__ import annotations

from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from limner.nn.whole_batch import Coupling
from limner.tokenizers.quantizers.binary import Bits, binary_entropy, signs
from limner.tokenizers.quantizers.digits import capacity, compose, decompose
from limner.tokenizers.quantizers.quantizer import Bottleneck, Discrete, Features, usage
from limner.types import Ids, Rng


class BinarySphericalQuantizer(Discrete):
    """``2 ** bits`` codes of unit length.

    Args:
        bits: of an id, and channels; at most 63.
        entropy: weight of the entropies; this, ``diversity`` and ``temperature`` are those of vector-quantize-pytorch.
        diversity: weight of the codes' entropy over the batch within them.
        temperature: in squared distance between points of the sphere.
    """

    def __init__(self, bits: int, *, entropy: float = 0.1, diversity: float = 1.0, temperature: float = 0.01) -> None:
        super().__init__()
        self.features = self.channels = bits
        self.radices, self.edge = (2,) * bits, bits**-0.5
        self.entries = capacity(self.radices)
        self.entropy, self.diversity, self.temperature = entropy, diversity, temperature

    @property
    def coupling(self) -> Coupling | None:
        """The entropy of the mean is one of the whole batch."""
        return (
            Coupling("its codes are spread over the whole batch (an entropy of their mean)") if self.entropy else None
        )

    def entropies(self, u: Float[Tensor, "t bits"]) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """Mean entropy of a latent's code, and the upper bound of the entropy of the mean over latents, in nats."""
        log_odds = 4.0 * self.edge / self.temperature * u
        mean = log_odds.sigmoid().mean(0)
        return binary_entropy(log_odds).sum(1).mean(), binary_entropy(mean.logit(1e-6)).sum()

    def forward(self, features: Features, rng: Rng) -> Bottleneck:
        u = self._on_sphere(rearrange(features, "b c h w -> (b h w) c"))
        chosen = signs(u.detach())
        own, shared = self.entropies(u)
        batch, _, height, width = features.shape
        quantized = u + (self.edge * chosen - u).detach()
        latents = rearrange(quantized, "(b h w) c -> b c h w", b=batch, h=height, w=width)
        metrics = usage(compose((chosen > 0).long(), self.radices), self.entries)
        metrics |= {"entropy": own.detach(), "codes": shared.detach()}
        return Bottleneck(latents, self.entropy * (own - self.diversity * shared), metrics)

    def tokens(self, features: Features, rng: Rng | None = None) -> Ids:
        return compose((rearrange(features, "b c h w -> b (h w) c") > 0).long(), self.radices)

    def latents(self, tokens: Ids, height: int, width: int) -> Features:
        rows = self.edge * (2.0 * decompose(tokens, self.radices) - 1.0)
        return rearrange(rows, "b (h w) c -> b c h w", h=height, w=width)

    @staticmethod
    def _on_sphere(z: Bits) -> Bits:
        return functional.normalize(z.float(), dim=-1)
