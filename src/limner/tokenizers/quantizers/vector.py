"""A codebook: each latent becomes its nearest row (van den Oord et al., arXiv:1711.00937).

Forward ``z_q = e_k, k = argmin_j |z - e_j|``; the gradient passes straight through, ``z_q = z + sg(z_q - z)``; the
encoder commits by ``beta |z - sg(e_k)|^2`` (Eq. 3). Rows follow a moving average of the latents that chose them
(Appendix A.1); a row that is hardly chosen any more is reborn as a latent of the batch, else most rows die.
"""

from __future__ import annotations

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from limner.nn.whole_batch import Coupling
from limner.tokenizers.quantizers.quantizer import Bottleneck, Discrete, Features, usage
from limner.types import Ids, Rng


class VectorQuantizer(Discrete):
    """Nearest neighbour in an exponentially averaged codebook.

    Args:
        entries: rows of the codebook.
        channels: width of a row.
        commitment: beta of Eq. 3.
        decay: of the moving averages, per batch.
        revive_below: a row chosen less often than this share of an even division is reborn; 0 lets rows die.
    """

    coupling = Coupling("its codebook follows what the whole batch chose, once per batch")
    codebook: Tensor
    counts: Tensor
    sums: Tensor
    ready: Tensor

    def __init__(
        self, entries: int, channels: int, *, commitment: float = 0.25, decay: float = 0.98, revive_below: float = 0.1
    ) -> None:
        super().__init__()
        self.features = self.channels = channels
        self.entries, self.commitment, self.decay, self.revive_below = entries, commitment, decay, revive_below
        self.register_buffer("codebook", torch.zeros(entries, channels))
        self.register_buffer("counts", torch.zeros(entries))
        self.register_buffer("sums", torch.zeros(entries, channels))
        self.register_buffer("ready", torch.zeros((), dtype=torch.bool))

    def nearest(self, z: Float[Tensor, "t c"]) -> Int[Tensor, "t"]:
        """Index of the nearest row of each vector, in fp32."""
        with torch.autocast(z.device.type, enabled=False):
            rows = self.codebook.float()
            distance = rows.square().sum(1) - 2.0 * z.float() @ rows.T
        return distance.argmin(1)

    def forward(self, features: Features, rng: Rng) -> Bottleneck:
        z = rearrange(features.float(), "b c h w -> (b h w) c")
        learning = features.requires_grad  # a frozen encoder keeps its codebook too
        if learning and not self.ready:
            self._begin(z.detach(), rng)
        ids = self.nearest(z.detach())
        chosen = self.codebook[ids]
        penalty = self.commitment * functional.mse_loss(z, chosen)
        if learning:
            self._follow(z.detach(), ids, rng)
        quantized = z + (chosen - z).detach()
        batch, _, height, width = features.shape
        latents = rearrange(quantized, "(b h w) c -> b c h w", b=batch, h=height, w=width)
        return Bottleneck(latents, penalty, self.usage(ids))

    def usage(self, ids: Int[Tensor, "t"]) -> dict[str, Tensor]:
        """Share of rows chosen in this batch, perplexity of the choice, and rows whose average has died."""
        dead = (self.counts < 1e-3 * self.counts.mean()).sum()
        return {**usage(ids, self.entries), "dead": dead.float()}

    @torch.no_grad()
    def _begin(self, z: Float[Tensor, "t c"], rng: Rng) -> None:
        self.codebook.copy_(_pick(z, self.entries, rng))
        self.counts.fill_(len(z) / self.entries)
        self.sums.copy_(self.codebook * self.counts[:, None])
        self.ready.fill_(True)

    @torch.no_grad()
    def _follow(self, z: Float[Tensor, "t c"], ids: Int[Tensor, "t"], rng: Rng) -> None:
        counts = torch.bincount(ids, minlength=self.entries).float()
        sums = torch.zeros_like(self.sums).index_add_(0, ids, z)
        self.counts.lerp_(counts, 1 - self.decay)
        self.sums.lerp_(sums, 1 - self.decay)
        even = len(z) / self.entries
        reborn = self.counts < self.revive_below * even
        if reborn.any():
            self.sums[reborn] = _pick(z, self.entries, rng)[reborn] * even
            self.counts[reborn] = even
        self.codebook.copy_(self.sums / self.counts.clamp_min(1e-5)[:, None])

    def tokens(self, features: Features, rng: Rng | None = None) -> Ids:
        z = rearrange(features, "b c h w -> (b h w) c")
        return self.nearest(z).reshape(features.shape[0], -1)

    def latents(self, tokens: Ids, height: int, width: int) -> Features:
        return rearrange(self.codebook[tokens], "b (h w) c -> b c h w", h=height, w=width)


def _pick(z: Float[Tensor, "t c"], count: int, rng: Rng) -> Float[Tensor, "v c"]:
    index = (rng.uniform(count) * len(z)).long()
    return z[index.clamp_max(len(z) - 1)] + 1e-3 * z.std() * rng.normal(count, z.shape[1])
