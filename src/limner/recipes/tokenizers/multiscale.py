"""The tokenizer that VAR draws with: an image as a pyramid of codes, each scale the residual of the coarser ones.

Tian et al., arXiv:2404.02905, Section 3.2 and Algorithms 1 and 2. One codebook serves all scales; what is enlarged is
smoothed by a convolution, and fewer scales decode to a coarser picture. Deviations of the small size: around it the
convolutions of limner's other tokenizers, no discriminator, and dead rows are reborn, as in our VQ-VAE.

    limner train multiscale --out runs/multiscale        # multiscale-64: a quarter of an hour on a CPU core
"""

from __future__ import annotations

from dataclasses import dataclass

from limner.data.images import extent
from limner.errors import InputError
from limner.nn.convolution import channels_last
from limner.recipe import Recipe
from limner.recipes.tokenizers import family
from limner.tokenizers.autoencoder import decoder, encoder
from limner.tokenizers.quantizers.multiscale import MultiScaleQuantizer
from limner.tokenizers.scales import ScaleAutoencoder
from limner.types import Layout


@dataclass(frozen=True, kw_only=True)
class Knobs(family.Codebook, family.Convolutional):
    """A pyramid of codes."""

    channels: int = 16
    widths: tuple[int, ...] = (32, 96, 160)
    entries: int = 2048
    sides: tuple[int, ...] = (1, 2, 3, 4, 6, 8)
    """Tokens on the longer side per scale, coarse to fine; the last must be that of the latents."""
    phis: int = 4
    """Convolutions that smooth what is enlarged, shared by the scales."""
    images: int = 80_000
    retired = frozenset({"kl"})

    def __post_init__(self) -> None:
        super().__post_init__()
        cells = max(extent(self.size)) // 2 ** len(self.widths)
        if not self.sides or self.sides[-1] != cells or list(self.sides) != sorted(set(self.sides)):
            raise InputError(f"--sides are {' '.join(map(str, self.sides))}, but must grow up to {cells}")


def scales(knobs: Knobs) -> Layout:
    """Grids from coarse to fine, in the shape of the picture."""
    height, width = extent(knobs.size)
    longer = max(height, width)
    return Layout(tuple((-(-side * height // longer), -(-side * width // longer)) for side in knobs.sides))


def build(knobs: Knobs) -> ScaleAutoencoder:
    """A freshly initialised multi-scale VQ-VAE."""
    quantizer = MultiScaleQuantizer(
        knobs.entries,
        knobs.channels,
        scales(knobs),
        phis=knobs.phis,
        commitment=knobs.commitment,
        revive_below=knobs.revive_below,
    )
    model = ScaleAutoencoder(
        encoder(knobs.widths, knobs.encoder_depths, quantizer.features),
        quantizer,
        decoder(knobs.widths, knobs.decoder_depths, quantizer.channels),
        size=knobs.size,
    )
    channels_last(model)
    return model


RECIPE = Recipe(
    state="works",
    paper="arXiv:2404.02905",
    knobs=Knobs,
    build=build,
    lesson=family.lesson,
    score=family.score,
    tiny={**family.TINY, "channels": 4, "entries": 32, "sides": (1, 2, 4)},
)
