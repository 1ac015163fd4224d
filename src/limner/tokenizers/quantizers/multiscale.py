"""A picture as a pyramid of codes, coarse to fine (Tian et al., VAR, arXiv:2404.02905, Algorithms 1 and 2).

    rest = f
    for each scale s:  ids_s = nearest rows of  area(rest -> h_s x w_s)
                       step  = phi_s(bicubic(codebook[ids_s] -> h x w)),   rest -= step

``phi(x) = (1 - r) x + r conv(x)`` smooths what was enlarged; a few of them serve all scales. The steps add up to what
the decoder reads, and the sum after each scale, shrunk to the next, is what a generator of the next scale reads.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from limner.errors import InputError
from limner.nn.whole_batch import Coupling
from limner.tokenizers.quantizers.quantizer import Bottleneck, Discrete, Features, usage
from limner.types import Ids, Latents, Layout, Rng, Tokens

DECAY = 0.98  # of the count of choices, per batch


class MultiScaleQuantizer(Discrete):
    """Residual codes of growing grids, one codebook for all.

    Tokens are ids, scale after scale; wherever ids are read, rows of the codebook or mixtures of rows will do as well.

    Args:
        entries: rows of the codebook.
        channels: width of a row.
        layout: grids from coarse to fine; features have the size of the last.
        phis: convolutions that the scales share: each scale takes the one nearest to it on the way from the first to
            the last; 1 is one for all, as many as scales is one for each.
        smoothing: r above, the convolution's share.
        commitment: weight of the encoder's part of the penalty.
        revive_below: a row chosen less often than this share of an even division is reborn as what some scale of the
            batch looked for, as in `VectorQuantizer`; 0, the paper's, lets rows die.
    """

    counts: Tensor

    def __init__(
        self,
        entries: int,
        channels: int,
        layout: Layout,
        *,
        phis: int = 4,
        smoothing: float = 0.5,
        commitment: float = 0.25,
        revive_below: float = 0.0,
    ) -> None:
        super().__init__()
        self.features = self.channels = channels
        self.entries, self.layout, self.smoothing, self.commitment = entries, layout, smoothing, commitment
        self.revive_below = revive_below
        self.register_buffer("counts", torch.zeros(entries))
        self.codebook = nn.Parameter(torch.empty(entries, channels).uniform_(-1.0 / entries, 1.0 / entries))
        self.phis = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(phis))
        self.chosen = phis_of_scales(len(layout.grids), phis)

    @property
    def coupling(self) -> Coupling | None:
        """Rows are reborn by what the whole batch chose."""
        return Coupling("rows of its codebook are reborn by what the whole batch chose") if self.revive_below else None

    def rows(self, tokens: Tokens) -> Latents:
        """Rows of the codebook at these ids; rows are handed back."""
        return tokens if tokens.is_floating_point() else self.codebook[tokens]

    def spread(self, rows: Latents, scale: int) -> Features:
        """What the codes of one scale add to the features, in the precision of the rows."""
        height, width = self.layout.grids[scale]
        x = rearrange(rows, "b (h w) c -> b c h w", h=height, w=width)
        if scale < len(self.layout.grids) - 1:
            x = functional.interpolate(x, size=self.layout.grids[-1], mode="bicubic")
        with torch.autocast(x.device.type, enabled=False):
            return torch.lerp(x, self.phis[self.chosen[scale]](x), self.smoothing)

    def sums(self, tokens: Tokens) -> Iterator[Features]:
        """The features so far, after each of the scales that ``tokens`` hold, from the first on."""
        rows, total, end = self.rows(tokens), None, 0
        for scale, (height, width) in enumerate(self.layout.grids):
            start, end = end, end + height * width
            if end > rows.shape[1]:
                return
            step = self.spread(rows[:, start:end], scale)
            total = step if total is None else total + step
            yield total

    def scale_inputs(self, tokens: Tokens, scales: int | None = None) -> Float[Tensor, "b m c"]:
        """What a generator reads at each position of the first ``scales`` scales: the features after the scale before,
        shrunk to the grid of its own; zeros in the first. Reads no token of the last of these scales."""
        grids = self.layout.grids[:scales]
        rows = self.rows(tokens[:, : Layout(grids[:-1]).length])
        inputs = [rows.new_zeros(len(rows), grids[0][0] * grids[0][1], self.channels)]
        for size, total in zip(grids[1:], self.sums(rows), strict=True):
            inputs.append(functional.interpolate(total, size=size, mode="area").flatten(2).mT)
        return torch.cat(inputs, dim=1)

    def nearest(self, x: Features) -> Ids:
        """Ids of the nearest rows, in fp32, in raster order."""
        rows = self.codebook.detach().float()
        z = rearrange(x, "b c h w -> (b h w) c")
        with torch.autocast(x.device.type, enabled=False):
            ids = torch.addmm(rows.square().sum(1), z, rows.T, alpha=-2.0).argmin(1)
        return ids.reshape(len(x), -1)

    def tokens(self, features: Features, rng: Rng | None = None) -> Ids:
        if features.shape[-2:] != self.layout.grids[-1]:
            given, last = ("x".join(map(str, size)) for size in (features.shape[-2:], self.layout.grids[-1]))
            raise InputError(f"features are {given}, but the last scale is {last}: give a picture of the right size")
        return torch.cat([ids for _, ids in self.choices(features)], dim=1)

    def choices(self, features: Features) -> Iterator[tuple[Float[Tensor, "b c rows columns"], Ids]]:
        """Of each scale what is left of the features, shrunk to it, and the ids of the nearest rows."""
        rest = features.detach().float()
        for scale, size in enumerate(self.layout.grids):
            wanted = functional.interpolate(rest, size=size, mode="area")
            ids = self.nearest(wanted)
            yield wanted, ids
            rest = rest - self.spread(self.rows(ids), scale).detach()

    def forward(self, features: Features, rng: Rng) -> Bottleneck:
        """The penalty is the mean over scales of ``commitment |sg(sum) - f|^2 + |sum - sg(f)|^2``: codebook and phis
        learn from the second part, the encoder from the first and, straight through, from the decoder."""
        z = features.float()
        wanted, chosen = zip(*self.choices(z), strict=True)
        ids, penalty = torch.cat(chosen, dim=1), z.new_zeros(())
        for total in self.sums(ids):
            penalty = penalty + self.commitment * functional.mse_loss(total.detach(), z)
            penalty = penalty + functional.mse_loss(total, z.detach())
        latents = z + (total - z).detach()
        if self.revive_below and features.requires_grad:
            self._revive(torch.cat([part.flatten(2).mT.flatten(0, 1) for part in wanted]), ids, rng)
        return Bottleneck(latents, penalty / len(self.layout.grids), usage(ids, self.entries))

    @torch.no_grad()
    def _revive(self, wanted: Float[Tensor, "t c"], ids: Ids, rng: Rng) -> None:
        self.counts.lerp_(torch.bincount(ids.flatten(), minlength=self.entries).float(), 1 - DECAY)
        even = len(wanted) / self.entries
        reborn = self.counts < self.revive_below * even
        chosen = (rng.uniform(self.entries) * len(wanted)).long().clamp_max(len(wanted) - 1)
        self.codebook[reborn] = wanted[chosen][reborn]
        self.counts[reborn] = even

    def latents(self, tokens: Tokens, height: int, width: int) -> Features:
        *_, total = self.sums(tokens)
        return total


def phis_of_scales(scales: int, count: int) -> list[int]:
    """Which of ``count`` convolutions each scale takes: the one whose place in [0, 1] is nearest. Places are even, but
    those of four begin and end at 1/12, as the released weights want them; of two as near, numpy's rounding decides."""
    margin = 1 / 3 / count if count == 4 else 1 / 2 / count
    places = np.linspace(margin, 1 - margin, count)
    return [int(np.argmin(np.abs(places - scale / max(scales - 1, 1)))) for scale in range(scales)]
