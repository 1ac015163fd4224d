"""What may have to be given back of the taught album: pixels, or the latents of vae-64, one per slot of a picture."""

from __future__ import annotations

import functools

import torch
from jaxtyping import Float
from torch import Tensor

from limner.experiments.understanding.world import World
from limner.nn.pixels import to_tensor
from limner.store.folder import load
from limner.tokenizers.autoencoder import Autoencoder
from limner.types import Rng
from limner.unified.targets import FoldedLatents, Pixels, Target

TOKENIZER = "vae-64"
PART = 100  # pictures at a time


def values(target: Target, world: World) -> Float[Tensor, "b n c"]:
    """A target's values of every picture, drawn once."""
    shown = world.taught.shown
    parts = []
    for start in range(0, len(shown), PART):
        image = to_tensor([scene.image for scene in shown[start : start + PART]])
        parts.append(target.values(image, Rng(range(start, start + len(image)))))
    return torch.cat(parts)


@functools.lru_cache(maxsize=1)
def latents(world: World) -> Float[Tensor, "b n c"]:
    """Latents that a tokenizer draws of the pictures."""
    tokenizer = load(TOKENIZER)
    assert isinstance(tokenizer, Autoencoder)
    return values(FoldedLatents(tokenizer, tokenizer.quantizer.channels, len(world.encoder.position)), world)


def pixels(world: World) -> Float[Tensor, "b n c"]:
    """Pixels of every cell, in [-1, 1]."""
    return values(Pixels(world.encoder.size, len(world.encoder.position)), world)
