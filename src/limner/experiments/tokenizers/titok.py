"""TiTok: a line of tokens against a grid of as many bits, of the same transformers, pictures and steps.

line    8 tokens of 4,096 codes    96 bits      16 tokens of 64 codes    96 bits
grid                                            16 tokens of 64 codes    96 bits: what the cells have become
"""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from limner.experiments.experiment import Experiment, Finding
from limner.experiments.smallworld import distance, gap, held_out, summary
from limner.recipes.tokenizers import family, titok
from limner.tokenizers.oned import Cells, JointTransformer, OneDTokenizer, PatchPixels, Vit
from limner.tokenizers.quantizers.quantizer import Bottleneck, Quantizer
from limner.tokenizers.quantizers.vector import VectorQuantizer
from limner.tokenizers.tokenizer import QuantizingTokenizer, paint
from limner.train.loop import train
from limner.types import Image, Layout, Rng, Size, Tokens

SIZE, IMAGES = 32, 20_000
KNOBS: dict[str, Any] = {
    "size": SIZE,
    "patch": 8,
    "width": 128,
    "encoder_depth": 2,
    "decoder_depth": 2,
    "batch": 32,
    "warmup": 1_000,
    "ema": 1_000,
    "sample_every": 10**9,
    "checkpoint_every": 10**9,
}
SHORT, LONG, GRID = "line of 8, 4,096 codes", "line of 16, 64 codes", "grid of 16, 64 codes"
ARMS: dict[str, tuple[str, dict[str, Any]]] = {  # folder, and what is special about the knobs
    SHORT: ("line-8", {"count": 8, "entries": 4096}),
    LONG: ("line-16", {"count": 16, "entries": 64}),
    GRID: ("grid-16", {"count": 16, "entries": 64}),
}


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

    def encode(self, image: Image, rng: Rng | None = None) -> Tokens:
        """Ids in raster order."""
        return self.quantizer.tokens(self.features(image), rng)

    def decode(self, tokens: Tokens, rng: Rng | None = None, steps: int | None = None) -> Image:
        """The picture of these ids, in [-1, 1]."""
        return self.rebuilt(self.quantizer.latents(tokens, *self.grid)).clamp(-1.0, 1.0)


def build(name: str, knobs: titok.Knobs) -> OneDTokenizer | GridTokenizer:
    """The untrained tokenizer of an arm."""
    if name != GRID:
        return titok.build(knobs)
    quantizer = VectorQuantizer(
        knobs.entries, knobs.channels, commitment=knobs.commitment, revive_below=knobs.revive_below
    )
    heads = knobs.width // 64
    first, second = (Vit(knobs.width, d, heads, knobs.patch) for d in (knobs.encoder_depth, knobs.decoder_depth))
    return GridTokenizer((first, second), quantizer, size=knobs.size)


def trained(experiment: Experiment, name: str, seed: int) -> QuantizingTokenizer:
    """The tokenizer of an arm, trained or read back."""
    folder, own = ARMS[name]
    images = round(IMAGES * experiment.scale)
    knobs = titok.Knobs(**KNOBS, **own, seed=seed, images=images)
    where: Path = experiment.directory / f"{folder}-{seed}-{images}"
    experiment.say(f"{name}, seed {seed}")
    torch.manual_seed(seed)
    run = train(family.lesson(knobs, build(name, knobs)), knobs, where, label=f"{folder} seed {seed}")
    if run.images < images:
        raise KeyboardInterrupt
    model = run.average.model.eval()
    assert isinstance(model, QuantizingTokenizer)
    return model


@torch.no_grad()
def measured(model: QuantizingTokenizer) -> tuple[float, float]:
    """Mean PSNR in dB and Frechet distance of the held-out pictures."""
    image = held_out(SIZE)
    rebuilt = model.decode(model.encode(image))
    mse = (rebuilt - image).square().mean((1, 2, 3))
    return float((10 * torch.log10(4 / mse)).mean()), distance(rebuilt, image)


def findings(experiment: Experiment) -> tuple[Finding, ...]:
    """One per claim of the recipe."""
    scores = {name: [measured(trained(experiment, name, seed)) for seed in experiment.seeds] for name in ARMS}
    psnr = {name: [decibel for decibel, _ in found] for name, found in scores.items()}
    frechet = {name: [far for _, far in found] for name, found in scores.items()}
    gaps = {f"{name} - grid": gap(psnr[GRID], psnr[name]) for name in (SHORT, LONG)}
    report = {
        "psnr": {name: summary(values) for name, values in psnr.items()},
        "frechet": {name: summary(values) for name, values in frechet.items()},
        "psnr gaps": gaps,
    }
    return (Finding(gaps[f"{SHORT} - grid"]["interval"][0] > 0, report),)
