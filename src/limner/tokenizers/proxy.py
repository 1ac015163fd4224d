"""Learning from another tokenizer's codes: the two stages of TiTok (Yu et al., arXiv:2406.07550, Section 3.3).

A decoder that must draw pixels from the first step needs an adversary at once. It is easier to name, cell by cell, the
code that a good tokenizer (the proxy) has there; the expected row of the proxy's codebook, ``softmax(logits) @
codebook``, is then drawn by the proxy's own decoder. In the first stage the names are learnt, by cross-entropy; in
the second what makes tokens stands still and everything after them learns from the picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from limner.nn.convolution import channels_last
from limner.tokenizers.oned import Cells, OneDTokenizer
from limner.tokenizers.tokenizer import Metrics
from limner.types import Image, Rng, Tokenizer

Logits = Float[Tensor, "b v rows columns"]


class ProxyPixels(nn.Module):
    """Cells to a picture by way of the proxy's codes.

    Args:
        width: channels of a cell.
        entries: codes of the proxy.
        channels: of a row of its codebook.
        decoder: latents ``[b, channels, rows, columns]`` to a picture in [0, 1].
    """

    def __init__(self, width: int, *, entries: int, channels: int, decoder: nn.Module) -> None:
        super().__init__()
        self.names = nn.Sequential(nn.Conv2d(width, 2 * width, 1), nn.Tanh(), nn.Conv2d(2 * width, entries, 1))
        self.codebook = nn.Parameter(torch.empty(entries, channels).uniform_(-1.0 / entries, 1.0 / entries))
        self.decoder = decoder
        channels_last(decoder)

    def logits(self, cells: Cells) -> Logits:
        """Of each code in each cell."""
        return self.names(cells)

    def forward(self, cells: Cells) -> Float[Tensor, "b 3 h w"]:
        shares = rearrange(self.logits(cells), "b v y x -> b y x v").softmax(-1)
        return self.decoder(rearrange(shares @ self.codebook, "b y x c -> b c y x"))


def proxy_loss(logits: Logits, codes: Int[Tensor, "b cells"]) -> Float[Tensor, ""]:
    """Mean cross-entropy of the proxy's codes, in nats per cell."""
    return functional.cross_entropy(logits.flatten(2).float(), codes)


@dataclass(frozen=True)
class ProxyObjective:
    """The first stage: ``cross-entropy of the proxy's codes + penalty of the quantizer``.

    ``pixels`` is that of the model's decoder, ``proxy`` a tokenizer of the same pictures and grid.
    """

    pixels: ProxyPixels
    proxy: Tokenizer

    def __call__(self, model: OneDTokenizer, image: Image, rng: Rng) -> tuple[Tensor, Metrics]:
        """Loss of a batch and its parts."""
        with torch.no_grad():
            codes = self.proxy.encode(image)
        bottleneck = model.quantizer(model.features(image), rng)
        logits = self.pixels.logits(model.decoder.cells(bottleneck.latents))
        loss = proxy_loss(logits, codes)
        named = (logits.argmax(1).flatten(1) == codes).float().mean()
        return loss + bottleneck.penalty, {"named": named, "proxy": loss.detach(), **bottleneck.metrics}
