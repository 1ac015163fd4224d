"""TiTok: a line of tokens against a grid of as many bits, of the same transformers, pictures and steps.

line    8 tokens of 4,096 codes    96 bits
grid    16 tokens of 64 codes      96 bits: what the cells have become
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from limner.data.preprocess import Pictures, prepared
from limner.experiments.claims import better
from limner.experiments.world import Arm
from limner.recipe import Recipe
from limner.recipes.tokenizers import family, titok
from limner.tokenizers.oned import Cells, JointTransformer, PatchPixels, Vit
from limner.tokenizers.quantizers.quantizer import Bottleneck, Quantizer
from limner.tokenizers.quantizers.vector import VectorQuantizer
from limner.tokenizers.tokenizer import paint
from limner.types import Image, Layout, Rng, Size, Tokens


class GridTokenizer(nn.Module):
    """TiTok's transformers with no queries and no masks: a token is what a cell has become, and becomes the cell."""

    def __init__(self, vit: tuple[Vit, Vit], quantizer: Quantizer, *, size: Size) -> None:
        super().__init__()
        first, second = vit
        grid = first.grid(size)
        self.size, self.grid, self.layout = size, grid, Layout((grid,))
        self.patches = nn.Conv2d(3, first.width, first.patch, stride=first.patch)
        self.reader, self.writer = (JointTransformer(half, prod(grid), 0) for half in vit)
        self.project = nn.Conv2d(first.width, quantizer.features, 1)
        self.quantizer = quantizer
        self.embed = nn.Conv2d(quantizer.channels, second.width, 1)
        self.pixels = PatchPixels(second.width, second.patch)

    @property
    def decoder(self) -> nn.Module:
        """From what the transformer makes of the latents to pixels."""
        return self.pixels

    def through(self, trunk: JointTransformer, cells: Cells) -> Cells:
        """What cells become."""
        line = rearrange(cells, "b d y x -> b (y x) d")
        return rearrange(trunk(line, line[:, :0])[0], "b (y x) d -> b d y x", y=self.grid[0])

    def features(self, image: Image) -> Float[Tensor, "b f y x"]:
        """What the encoder makes of pictures in [-1, 1]."""
        return self.project(self.through(self.reader, self.patches(0.5 * image + 0.5)))

    def rebuilt(self, latents: Float[Tensor, "b c y x"]) -> Image:
        """The picture of latents in [-1, 1], not clipped."""
        return 2.0 * paint(self.decoder, self.through(self.writer, self.embed(latents))) - 1.0

    def forward(self, image: Image, rng: Rng) -> tuple[Image, Bottleneck]:
        """Reconstruction and bottleneck of a training batch."""
        bottleneck = self.quantizer(self.features(image), rng)
        return self.rebuilt(bottleneck.latents), bottleneck

    def encode(self, image: Pictures, rng: Rng | None = None) -> Tokens:
        """Ids in raster order; pictures as those of `limner.tokenizers.tokenizer.Codec.encode`."""
        return self.quantizer.tokens(self.features(prepared(image, self, self.size)), rng)

    def decode(self, tokens: Tokens, rng: Rng | None = None, steps: int | None = None) -> Image:
        """The picture of these ids, in [-1, 1]."""
        return self.rebuilt(self.quantizer.latents(tokens, *self.grid)).clamp(-1.0, 1.0)


def build(knobs: titok.Knobs) -> GridTokenizer:
    """The untrained grid."""
    quantizer = VectorQuantizer(
        knobs.entries, knobs.channels, commitment=knobs.commitment, revive_below=knobs.revive_below
    )
    heads = knobs.width // 64
    first, second = (Vit(knobs.width, d, heads, knobs.patch) for d in (knobs.encoder_depth, knobs.decoder_depth))
    return GridTokenizer((first, second), quantizer, size=knobs.size)


def on_a_grid(recipe: Recipe) -> Recipe:
    """TiTok's recipe with its tokens on a grid."""
    return replace(recipe, build=build, lesson=family.lesson)


SIZES = {"patch": 8, "width": 128, "encoder_depth": 2, "decoder_depth": 2, "batch": 32, "images": 16_000}
LINE = Arm("titok-line", "tokenizers/titok", {**SIZES, "count": 8, "entries": 4096})
GRID = Arm("titok-grid", "tokenizers/titok", {**SIZES, "count": 16, "entries": 64}, on_a_grid)

CLAIMS = (better(LINE, GRID, "psnr"),)
