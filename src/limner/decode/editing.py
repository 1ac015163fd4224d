"""Editing of parts of an image by a generator of scales, without training (VAR, arXiv:2404.02905, Section 5.3).

    at every scale:  draw all tokens, then put back the picture's own wherever it is to stay

In-painting keeps the surroundings and out-painting the middle; with another class than the picture's it is editing, and
a class below 0 is none. Scales of three tokens or fewer, which hold the picture's overall tone, stay.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool
from torch import Tensor
from torch.nn import functional

from limner.decode.decoder import Decoder, KnownTokens
from limner.tokenizers.scales import ScaleAutoencoder
from limner.types import Image, Layout, Rng

OVERALL = 3  # tokens of a scale that is kept whole, as in the official code


def redraw(
    decoder: Decoder,
    tokenizer: ScaleAutoencoder,
    image: Image,
    stays: Bool[Tensor, "b rows columns"],
    condition: Tensor,
    rng: Rng,
) -> Image:
    """The image, drawn anew where it does not stay.

    Args:
        decoder: its tokens may be ids, or mixtures of codes, see `limner.decode.smooth`.
        tokenizer: of the pictures that the decoder draws.
        image: what is to be changed.
        stays: where not, per pixel or per cell of the finest scale; a cell stays if all its pixels do.
        condition: what the generator's condition reads, one row per picture.
        rng: of the decoder.
    """
    with torch.no_grad():
        tokens = tokenizer.encode(image)
        if decoder.generator.head.blank(1, 1).is_floating_point():
            tokens = tokenizer.quantizer.rows(tokens)
        return tokenizer.decode(
            decoder(condition, rng, kept=KnownTokens(tokens, places_that_stay(stays, tokenizer.layout)))
        )


def places_that_stay(stays: Bool[Tensor, "b rows columns"], layout: Layout) -> Bool[Tensor, "b n"]:
    """Which tokens of all scales stay: those that lie over cells that stay, by more than half."""
    going = functional.adaptive_max_pool2d((~stays)[:, None].float(), layout.grids[-1])
    parts = []
    for height, width in layout.grids:
        share = functional.interpolate(1.0 - going, size=(height, width), mode="bilinear").flatten(1)
        parts.append(share > 0.5 if height * width > OVERALL else torch.ones_like(share, dtype=torch.bool))
    return torch.cat(parts, dim=1)
