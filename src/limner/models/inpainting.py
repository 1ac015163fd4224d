"""A part of a picture drawn anew, by a generator of any order: the tokens of the rest are kept.

    tokens = decoder(caption, kept = encode(picture) where nothing is masked)
    drawn  = where(mask, decode(tokens), picture)

A cell is kept if no pixel of it is masked. Where the order leaves a choice (`limner.generators.orders.RandomMasked` and
its like) kept cells come first, so that all that is drawn reads them; otherwise they are put back as they are passed
(as VAR's editing does, arXiv:2404.02905, Section 5.3; the prompt of MaskGIT's, arXiv:2202.04200, Section 5).
"""

from __future__ import annotations

from typing import SupportsIndex, Unpack

import numpy as np
import torch
from jaxtyping import Bool
from PIL import Image as Pillow
from torch import Tensor

from limner.data.images import extent
from limner.data.preprocess import Given, gather, read_pixels
from limner.decode.decoder import Decoder, KnownTokens
from limner.decode.editing import places_that_stay
from limner.decode.options import DrawOptions, with_options
from limner.errors import InputError
from limner.models.text_to_image import BATCH, TextToImage, seeds_of, to_pictures
from limner.types import Image, Layout, Rng, Steps, derive_seed

OTHER = derive_seed("another picture")  # whose order shows whether orders differ


@torch.no_grad()
def inpaint(
    model: TextToImage,
    prompt: str,
    image: Given,
    mask: Given,
    *,
    n: SupportsIndex = 1,
    seed: SupportsIndex = 0,
    **options: Unpack[DrawOptions],
) -> list[Pillow.Image]:
    """``n`` pictures that are ``image`` but for what is masked, which is drawn by ``prompt``.

    Args:
        model: draws; its tokens must lie on one grid or a pyramid of them.
        prompt: of the whole picture.
        image, mask: pictures as `limner.data.preprocess` takes them, cut to the model's shape; the mask is white where
            the picture is drawn anew, and black where it stays.
        n, seed, options: see `TextToImage.draw`.

    Raises `InputError` for a mask that hides nothing, and for tokens that have no places.
    """
    size, layout = extent(model.tokenizer.size), _layout(model)
    whole, hidden = gather(image, size), gather(_black_and_white(mask), size)[:, 0] > 0
    if not hidden.any():
        raise InputError("the mask hides nothing: make it white where the picture is to be drawn anew")
    condition, device = model.encoded(prompt, n), next(model.generator.parameters()).device
    seeds = seeds_of(1, n, seed)
    decoder = with_options(model.own_decoder(), **options)
    tokens = model.fold(model.tokenizer.encode(whole)).to(device)
    if not tokens.is_floating_point() and decoder.generator.head.blank(1, 1).is_floating_point():
        raise InputError("this technique draws no ids, so that none of a picture's can be kept: leave it out")
    stays = places_that_stay(~hidden, layout).to(device)
    drawn: list[Image] = []
    for at in range(0, len(seeds), BATCH):
        rows = len(seeds[at : at + BATCH])
        kept = KnownTokens(tokens.expand(rows, *tokens.shape[1:]), stays.expand(rows, -1))
        rng = Rng(seeds[at : at + BATCH], device)
        plan = kept_first(decoder, kept.where, rng)
        made = decoder(condition[at : at + BATCH].to(device), rng, plan=plan, kept=kept)
        drawn.append(model.decode(made, model.noise(seeds[at : at + BATCH])).cpu())
    return to_pictures(torch.where(hidden[:, None], torch.cat(drawn), whole))


def kept_first(decoder: Decoder, where: Bool[Tensor, "b n"], rng: Rng) -> Steps:
    """The order's own steps, with those of kept tokens before all others if the order is a choice of each picture."""
    generator = decoder.generator
    plan = generator.order.decoding_steps(len(where), generator.layout, decoder.steps, rng)
    other = generator.order.decoding_steps(1, generator.layout, decoder.steps, Rng([OTHER], rng.device))
    if torch.equal(plan[:1], other):  # the same whatever is drawn
        return plan
    first = (plan + where.logical_not() * (plan.max() + 1)).argsort(dim=1, stable=True)
    return torch.empty_like(plan).scatter_(1, first, plan.sort(1).values)


def _layout(model: TextToImage) -> Layout:
    """Where the generator's tokens lie."""
    layout = model.tokenizer.layout
    if any(len(grid) != 2 for grid in layout.grids):
        raise InputError("tokens of this model have no places in the picture: choose one such as mar-emoji-64")
    return Layout(tuple((rows // model.patch, columns // model.patch) for rows, columns in layout.grids))


def _black_and_white(mask: Given) -> np.ndarray:
    """What is half grey or lighter is white."""
    pixels = read_pixels(mask)
    return np.repeat((pixels.mean(2, keepdims=True) >= 127.5).astype(np.uint8) * 255, 3, 2)
