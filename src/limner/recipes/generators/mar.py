"""MAR: masked autoregression over continuous tokens with a diffusion loss.

Li et al., Autoregressive Image Generation without Vector Quantization, arXiv:2406.11838. An encoder reads the known
tokens and the condition, a decoder gives every unknown token a context, and a small denoising MLP draws the token from
it; tokens come in a random order, several at a time. Deviations of the shipped size: captions in place of classes,
SiLU for GELU (faster on a CPU), 2x2 latents per token, one learning rate, no dropout.

    limner train mar --out runs/mar                          # the shipped mar-emoji-64: two hours
    limner train mar --data photos/ --tokenizer runs/own --out runs/mine
"""

from __future__ import annotations

from dataclasses import dataclass

from torch.nn import functional

from limner.generators.backbones.masked import MaskedAutoencoder
from limner.generators.generator import Generator
from limner.generators.heads.diffusion import DiffusionHead
from limner.generators.heads.head import Head
from limner.generators.orders import RandomMasked
from limner.models.text_to_image import TextToImage
from limner.recipe import Claim, Recipe
from limner.recipes.generators import family
from limner.types import Tokenizer


@dataclass(frozen=True, kw_only=True)
class Masked(family.Knobs):
    """A masked autoregressive generator, whatever its head."""

    tokenizer: str = "vae-64"
    width: int = 256
    vocabulary: int = 1536
    patch: int = 2
    """Latents on a side that make one token."""
    encoder_depth: int = 2
    """Blocks that read condition and known tokens."""
    decoder_depth: int = 3
    """Blocks that read all."""


@dataclass(frozen=True, kw_only=True)
class Knobs(Masked):
    """A masked autoregressive generator and its denoising MLP."""

    head_width: int = 256
    """Width of the denoising MLP."""
    head_depth: int = 3
    """Blocks of the denoising MLP."""
    head_steps: int = 50
    """Steps of the reverse process that draws a token; the paper's are 100."""
    velocity: bool = True
    """Let the denoising MLP predict the velocity; the paper's predicts epsilon, which needs far longer training."""
    emphasis: float = 1000.0
    """Largest weight of a timestep's squared error; 1 is the paper's, more learns what to draw sooner."""


def generator(knobs: Masked, tokenizer: Tokenizer, head: Head) -> Generator:
    """The masked autoregressive generator of these knobs around a head."""
    layout = tokenizer.layout.patched(knobs.patch)
    return Generator(
        layout=layout,
        order=RandomMasked(),
        backbone=MaskedAutoencoder(
            count=layout.length,
            prefix=knobs.text_length,
            width=knobs.width,
            encoder_depth=knobs.encoder_depth,
            decoder_depth=knobs.decoder_depth,
            heads=knobs.heads,
            activation=functional.silu,
            position_std=0.5,
        ),
        head=head,
        condition=family.text_condition(knobs),
    )


def build(knobs: Knobs) -> TextToImage:
    """A freshly initialised MAR over its tokenizer."""
    tokenizer = family.frozen_tokenizer(knobs.tokenizer, discrete=False, patch=knobs.patch)
    head = DiffusionHead(
        tokenizer.quantizer.channels * knobs.patch**2,
        knobs.width,
        width=knobs.head_width,
        depth=knobs.head_depth,
        steps=knobs.head_steps,
        velocity=knobs.velocity,
        emphasis=knobs.emphasis,
    )
    return family.text_to_image(knobs, generator(knobs, tokenizer, head), tokenizer, patch=knobs.patch)


RECIPE = Recipe(
    system="mar",
    state="works",
    paper="arXiv:2406.11838",
    knobs=Knobs,
    build=build,
    lesson=family.lesson,
    score=family.score,
    tiny={**family.TINY, "encoder_depth": 1, "decoder_depth": 1, "head_width": 16, "head_depth": 1},
    claims=(
        Claim(
            text="with equal backbone and budget a diffusion head draws better than a mixture, that than squared error",
            source="arXiv:2406.11838, Section 3.2 and Table 1",
        ),
        Claim(
            text="a diffusion head on VAE latents draws better than a categorical head on VQ codes",
            source="arXiv:2406.11838, Table 1",
        ),
    ),
)
