"""xAR-B by github.com/OliverRensu/xAR: ``sample_tokens``, 40 steps of Euler-Maruyama for each of four cells."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from contender import Contender
from torch import Tensor

from official.stand_ins import install

STEPS, SCALE = 40, 0.2325


def build(folder: Path, device: torch.device, steps: int = STEPS) -> Contender:
    """Random weights at the published size; ``steps`` in place of 40 stand for them."""
    install(device)
    sys.path.insert(0, str(folder / "xAR"))
    from models.vae import AutoencoderKL  # type: ignore[import-not-found]
    from models.xar import xar_base  # type: ignore[import-not-found]

    generator = xar_base()
    tokenizer = AutoencoderKL(embed_dim=16, ch_mult=(1, 1, 2, 2, 4))
    for module in (generator, tokenizer):
        module.to(device).eval().requires_grad_(False)

    @torch.no_grad()
    def draw(classes: Tensor) -> Tensor:
        return generator.sample_tokens(num_steps=steps, cfg=2.7, label=classes)

    def decode(latents: Tensor) -> Tensor:
        return tokenizer.decode(latents / SCALE)

    return Contender(draw, decode, {"generator": generator, "tokenizer": tokenizer}, steps / STEPS)
