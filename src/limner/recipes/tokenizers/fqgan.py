"""FQGAN: two codes per cell, each from a codebook and a branch of its own, one about looks and one about meaning.

Bai et al., Factorized Visual Tokenization and Generation, arXiv:2411.16681. Two small codebooks say as much as one
whose rows are all pairs, and are searched one after the other. A penalty keeps the two vectors of a cell apart, and
from the last one a reader must find which image of the batch a frozen encoder saw. Deviations of the small size:
codebooks of averages whose dead rows are reborn, without the entropy penalty; the shipped feature net in place of CLIP;
no discriminator; Muon.

    limner train fqgan --out runs/fqgan
    limner train fqgan-ar --tokenizer runs/fqgan --out runs/fqgan-ar
    limner convert fqgan_dual_ds16.pt models/fqgan      # the authors' weights, of two codes or three
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from limner.recipe import Claim, Recipe
from limner.recipes.tokenizers import family
from limner.store.folder import load
from limner.tokenizers.autoencoder import decoder, encoder
from limner.tokenizers.factorized import BranchSizes, CodeBranch, FactorizedEncoder, FactorizedObjective, MeaningReader
from limner.tokenizers.quantizers.factorized import FactorizedQuantizer
from limner.tokenizers.tokenizer import Codec, cells


@dataclass(frozen=True, kw_only=True)
class Knobs(family.Codebook, family.Convolutional):
    """A convolutional autoencoder with a branch per code."""

    channels: int = 8
    """Channels of each code."""
    entries: int = 256
    """Rows of each codebook: there are entries^codes ids."""
    codes: int = 2
    """Codes of a cell."""
    disentangle: float = 0.1
    """Weight of the squared cosine between two codes of a cell."""
    meaning: float = 0.5
    """Weight of what the last code is to say of the image."""


def branch_sizes(knobs: Knobs, width: int, *, summary: bool = False) -> BranchSizes:
    """A block over the cells, and a summary."""
    (grid,) = cells(knobs.size, 2 ** len(knobs.widths)).grids
    return BranchSizes(width, 1, max(width // 32, 1), grid[0] * grid[1] + summary)


def build(knobs: Knobs) -> Codec:
    """A freshly initialised FQGAN."""
    width = knobs.widths[-1]
    quantizer = FactorizedQuantizer(
        [family.codebook(knobs, knobs.channels) for _ in range(knobs.codes)], disentangle=knobs.disentangle
    )
    branches = [CodeBranch(branch_sizes(knobs, width), knobs.channels, width, 8) for _ in range(knobs.codes)]
    return Codec(
        FactorizedEncoder(encoder(knobs.widths, knobs.encoder_depths, width), branches),
        quantizer,
        decoder(knobs.widths, knobs.decoder_depths, quantizer.channels),
        size=knobs.size,
        layout=cells(knobs.size, 2 ** len(knobs.widths)),
    )


def lesson(knobs: Knobs, model: Codec) -> family.Lesson:
    """Training by the reconstruction error and by what the feature net sees."""
    from limner.lessons.pictures import reconstruction

    whole, features = reconstruction(knobs.l1, knobs.l2, knobs.perceptual, knobs.adversarial), load("features")
    readers = nn.ModuleList([MeaningReader(knobs.channels, branch_sizes(knobs, features.pooled_dim, summary=True))])
    objective = FactorizedObjective(whole, readers, [features.pooled], knobs.meaning)
    extra = nn.ModuleList([readers, *filter(None, [whole.discriminator])])
    return family.lesson_by(objective, knobs, model, extra)


RECIPE = Recipe(
    system="fqgan",
    state="partly",
    paper="arXiv:2411.16681",
    knobs=Knobs,
    build=build,
    lesson=lesson,
    score=family.score,
    tiny={**family.TINY, "channels": 4, "entries": 6},
    claims=(
        Claim(
            text="two codebooks of V rows find what one of all V^2 pairs would, in 2 V comparisons per cell",
            source="arXiv:2411.16681, abstract: factorization reduces the lookup complexity of large codebooks",
        ),
        Claim(
            text="two codebooks of 256 rows rebuild better than one of 512 in the same network",
            source="arXiv:2411.16681, Table 1: dual codebooks against a single one",
        ),
    ),
)
