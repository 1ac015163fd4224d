"""TiTok: a picture as a line of 32 tokens that belong to no place.

Yu et al., An Image is Worth 32 Tokens, arXiv:2406.07550, Section 3.2. Learnt queries read all cells of the picture and
become the tokens; masks, one per cell, read the tokens and become the picture. Deviations of the small size: one stage
that learns pixels at once, as the later released models do; a codebook of averages whose dead rows are reborn, soon, as
codes at first name tokens and not pictures; no discriminator; Muon.

    limner train titok --out runs/titok
    limner train maskgit --tokenizer runs/titok --out runs/maskgit-titok
"""

from __future__ import annotations

from dataclasses import dataclass

from limner.errors import InputError
from limner.lessons import pictures as worlds
from limner.lessons.pictures import TokenizerTask
from limner.recipe import Claim, Recipe
from limner.recipes.scores import tokenizer_scores
from limner.recipes.tokenizers import vae
from limner.tokenizers.oned import LatentEncoder, MaskDecoder, OneDTokenizer, PatchPixels, Vit
from limner.tokenizers.quantizers.vector import VectorQuantizer


@dataclass(frozen=True, kw_only=True)
class Knobs(worlds.Knobs):
    """Two vision transformers around a codebook."""

    count: int = 32
    """Tokens of a picture."""
    patch: int = 8
    """Pixels on a side of a cell."""
    width: int = 128
    """Width of both transformers."""
    encoder_depth: int = 3
    """Blocks of the encoder."""
    decoder_depth: int = 3
    """Blocks of the decoder."""
    entries: int = 4096
    """Rows of the codebook."""
    commitment: float = 0.25
    """Weight that holds the encoder to the rows it chose."""
    revive_below: float = 0.5
    """A row chosen less often than this share of an even division is reborn; 0 lets rows die."""
    images: int = 120_000
    lr: float = 1e-3
    muon: float = 3e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width < 64 or self.width % 64:
            raise InputError(f"--width is {self.width}, but must be a multiple of 64: each head of attention has 64")


def build(knobs: Knobs) -> OneDTokenizer:
    """A freshly initialised TiTok."""
    heads, size = knobs.width // 64, knobs.size
    quantizer = VectorQuantizer(
        knobs.entries, knobs.channels, commitment=knobs.commitment, revive_below=knobs.revive_below
    )
    encoder, decoder = (
        Vit(knobs.width, depth, heads, knobs.patch) for depth in (knobs.encoder_depth, knobs.decoder_depth)
    )
    return OneDTokenizer(
        LatentEncoder(encoder, size=size, count=knobs.count, features=quantizer.features),
        quantizer,
        MaskDecoder(
            decoder,
            size=size,
            count=knobs.count,
            channels=quantizer.channels,
            pixels=PatchPixels(knobs.width, knobs.patch),
        ),
        size=size,
    )


def task(knobs: Knobs) -> TokenizerTask:
    """How it is trained."""
    return vae.tokenizer_task(knobs, build(knobs))


RECIPE = Recipe(
    system="titok",
    state="works",
    paper="arXiv:2406.07550",
    knobs=Knobs,
    build=build,
    task=task,
    score=tokenizer_scores,
    claims=(
        Claim(
            text="8 tokens of a line rebuild better than 16 of a grid with as many bits (96) by the same transformers",
            source="arXiv:2406.07550, abstract: 32 tokens where grids have 256 or 1024",
        ),
    ),
)
