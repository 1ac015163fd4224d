"""MAR-B by github.com/LTH14/mar: ``sample_tokens`` with 64 iterations of 100 diffusion steps."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from contender import Contender, computed
from torch import Tensor

from official.stand_ins import install

ITERATIONS = 64
SCALE = 0.2325


def build(folder: Path, device: torch.device, iterations: int = ITERATIONS) -> Contender:
    """Random weights at the published size; ``iterations`` of the 64 are computed."""
    install(device)
    sys.path.insert(0, str(folder / "mar"))
    from models.mar import mar_base  # type: ignore[import-not-found]
    from models.vae import AutoencoderKL  # type: ignore[import-not-found]

    generator = mar_base(diffloss_d=6, diffloss_w=1024, num_sampling_steps="100")
    tokenizer = AutoencoderKL(embed_dim=16, ch_mult=(1, 1, 2, 2, 4))
    for module in (generator, tokenizer):
        module.to(device).eval().requires_grad_(False)
    _skip(generator, iterations)

    @torch.no_grad()
    def draw(classes: Tensor) -> Tensor:
        generator.seen = 0
        return generator.sample_tokens(len(classes), ITERATIONS, cfg=2.9, cfg_schedule="linear", labels=classes)

    def decode(latents: Tensor) -> Tensor:
        return tokenizer.decode(latents / SCALE)

    return Contender(draw, decode, {"generator": generator, "tokenizer": tokenizer}, iterations / ITERATIONS)


def _skip(generator: torch.nn.Module, iterations: int) -> None:
    """Let all but ``iterations`` of the 64 cost nothing: their tokens are zeros."""
    encode, decode, sample = generator.forward_mae_encoder, generator.forward_mae_decoder, generator.diffloss.sample

    def wanted() -> bool:
        return computed(generator.seen, ITERATIONS, iterations)

    def encoder(x: Tensor, mask: Tensor, embedding: Tensor) -> Tensor:
        return encode(x, mask, embedding) if wanted() else x

    def decoder(x: Tensor, mask: Tensor) -> Tensor:
        return decode(x, mask) if wanted() else x.new_zeros(*mask.shape, generator.decoder_embed.out_features)

    def head(z: Tensor, temperature: float, guidance: float) -> Tensor:
        drawn = sample(z, temperature, guidance) if wanted() else z.new_zeros(len(z), generator.token_embed_dim)
        generator.seen += 1
        return drawn

    generator.forward_mae_encoder, generator.forward_mae_decoder = encoder, decoder
    generator.diffloss.sample = head
