"""Free scales: FlexVAR's tokenizer, whose codes of any grid from 1x1 on make the image by themselves.

Jiao et al., arXiv:2502.20313, Section 3.2. One codebook, one encoder, one decoder: features are shrunk to a grid, then
quantized, and decoded on that grid. Deviations of the small size: a codebook of averages whose dead rows are reborn;
images of coarse grids are enlarged and compared with the whole one; no discriminator; Muon. The authors' own training
was not published.

    limner train free-scales --out runs/free-scales
    limner train flexvar --tokenizer runs/free-scales --out runs/flexvar
"""

from __future__ import annotations

from dataclasses import dataclass

from limner.errors import InputError
from limner.recipe import Recipe
from limner.recipes.tokenizers import family
from limner.tokenizers.autoencoder import decoder, encoder
from limner.tokenizers.free_scales import FreeScaleTokenizer, all_sides
from limner.tokenizers.tokenizer import cells


@dataclass(frozen=True, kw_only=True)
class Knobs(family.Codebook, family.Convolutional):
    """A convolutional autoencoder around a codebook of every grid."""

    channels: int = 16
    entries: int = 1024


def build(knobs: Knobs) -> FreeScaleTokenizer:
    """A freshly initialised tokenizer; raises `InputError` unless its images are square."""
    (grid,) = cells(knobs.size, 2 ** len(knobs.widths)).grids
    if grid[0] != grid[1]:
        raise InputError(f"--size {knobs.size} is no square: grids are 1x1, 2x2 and so on")
    codebook = family.codebook(knobs, knobs.channels)
    return FreeScaleTokenizer(
        encoder(knobs.widths, knobs.encoder_depths, codebook.features),
        codebook,
        decoder(knobs.widths, knobs.decoder_depths, codebook.channels),
        size=knobs.size,
        layout=all_sides(grid[0]),
    )


RECIPE = Recipe(
    state="works",
    paper="arXiv:2502.20313",
    knobs=Knobs,
    build=build,
    lesson=family.lesson,
    score=family.score,
    tiny={**family.TINY, "channels": 4, "entries": 12},
)
