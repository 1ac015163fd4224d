"""The pictures that limner's own tokenizers learn from: emoji, scenes, and crops of photographs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from limner.data.emoji import Emoji
from limner.data.folder import Folder
from limner.data.images import Size, extent
from limner.data.photos import Photos
from limner.data.scenes import Scenes
from limner.data.source import Example, Source
from limner.data.stream import Kept, Padded, Stream, Variation, chain, mirrored, recoloured, shifted
from limner.nn.pixels import to_tensor
from limner.tokenizers.objective import Objective
from limner.train.settings import Settings
from limner.types import Image, Rng, Tokenizer


@dataclass(frozen=True, kw_only=True)
class Knobs(Settings):
    """A tokenizer of small pictures."""

    data: Path | None = None
    """Folder of your own pictures; without it emoji, scenes and photographs."""
    finetune: str | None = None
    """Name or folder of a tokenizer whose decoder alone is trained on: its tokens stay as they are."""
    size: int | tuple[int, int] = 64
    """Pixels of a picture: one number for a square, or height and width, as in --size 96 64."""
    channels: int = 12
    """Channels of a latent."""
    l1: float = 0.5
    """Weight of the absolute difference of pixels."""
    l2: float = 1.0
    """Weight of the squared difference of pixels."""
    perceptual: float = 0.0
    """Weight of the difference in features."""
    adversarial: float = 0.0
    """Weight of the patch discriminator, times its adaptive weight."""
    images: int = 140_000
    batch: int = 32
    lr: float = 2e-3
    warmup: int = 4_000
    ema: int = 3_000
    sample_every: int = 20_000
    checkpoint_every: int = 20_000


class Stickers:
    """A `Source` of emoji pasted at any size on any plain colour: half on white, as large as fits; half elsewhere."""

    name = "stickers"

    def __init__(self, size: Size) -> None:
        self.extent, self.side = extent(size), min(extent(size))
        self.emoji = Emoji("train", size=self.side)
        self.padded = Padded(self.emoji, size)

    def __len__(self) -> int:
        return len(self.emoji)

    def __getitem__(self, index: int) -> Example:
        example = self.padded[index]
        return Example(example.image, example.caption, index)

    def vary(self, example: Example, rng: np.random.Generator) -> Example:
        """On white as it is half the time; else scaled, moved and put on a random plain colour."""
        if rng.random() < 0.5:
            return example
        side = int(rng.integers(self.side // 2, self.side + 1))
        sprite = self.emoji.rgba(example.label, side).astype(np.float32)
        alpha = sprite[..., 3:] / 255.0
        canvas = np.broadcast_to(rng.integers(0, 256, 3).astype(np.float32), (*self.extent, 3)).copy()
        top, left = rng.integers(0, np.subtract(self.extent, side) + 1)
        area = canvas[top : top + side, left : left + side]
        area += alpha * (sprite[..., :3] - area)
        return Example(np.rint(canvas).astype(np.uint8), example.caption, example.label)


def worlds(size: Size, seed: int) -> Stream:
    """Half emoji, four tenths scenes on every kind of background, one tenth photographs; in white where ``size`` is no
    square."""
    stickers, side = Stickers(size), min(extent(size))
    others: list[Source] = [
        Scenes(seed, split="train", size=side, objects=(1, 4), background="white"),
        Scenes(seed + 1, split="train", size=side, objects=(1, 4), background="texture", grid=False),
        Photos("train", size=side, seed=seed),
    ]
    vary: list[Variation | None] = [
        chain(stickers.vary, mirrored, recoloured, shifted),
        None,
        chain(mirrored, recoloured),
        chain(mirrored, recoloured),
    ]
    sources: list[Source] = [stickers, *(Padded(source, size) for source in others)]
    return Stream(sources, (0.5, 0.3, 0.1, 0.1), vary=vary, seed=seed)


def own_pictures(folder: str, size: Size, seed: int) -> Stream:
    """A folder of pictures, mirrored and shifted."""
    return Stream([Kept(Folder(folder, size=size))], vary=[chain(mirrored, shifted)], seed=seed)


class TokenizerTask:
    """Trains a tokenizer on a stream of pictures.

    Args:
        model: the tokenizer.
        stream: what it learns from.
        objective: its loss.
        held_out: pictures of each kind on which it is validated.
        extra: what the objective trains beside it, such as a discriminator.
    """

    def __init__(
        self,
        model: nn.Module,
        stream: Stream,
        objective: Objective,
        held_out: dict[str, Source],
        extra: nn.Module | None = None,
    ) -> None:
        self.model, self.stream, self.objective, self.extra = model, stream, objective, extra
        self.held_out = {
            name: to_tensor([source[i].image for i in range(min(len(source), 96))]) for name, source in held_out.items()
        }

    def batch(self, start: int, size: int) -> Image:
        return to_tensor([example.image for example in self.stream.take(start, size)])

    def loss(self, model: nn.Module, batch: Image, rng: Rng) -> tuple[Tensor, dict[str, Tensor | float]]:
        return self.objective(model, batch, rng)

    def _reconstruct(self, model: nn.Module, image: Image) -> Image:
        assert isinstance(model, Tokenizer)
        assert isinstance(model, nn.Module)
        device = next(model.parameters()).device
        return torch.cat([model.decode(model.encode(part.to(device))).cpu() for part in image.split(32)])

    def preview(self, model: nn.Module) -> Image:
        """Held-out pictures above their reconstructions, eight by eight; white ones fill the last row."""
        images = torch.cat([images[: 32 // len(self.held_out)] for images in self.held_out.values()])
        images = torch.cat([images, images.new_ones(-len(images) % 8, *images.shape[1:])])
        rebuilt = self._reconstruct(model, images)
        rows = [row for pair in zip(images.split(8), rebuilt.split(8), strict=True) for row in pair]
        return torch.cat(rows)

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Mean PSNR in dB on held-out pictures of each kind."""
        scores = {}
        for name, images in self.held_out.items():
            mse = (self._reconstruct(model, images) - images).square().mean((1, 2, 3))
            scores[f"psnr/{name}"] = float((10 * torch.log10(4 / mse)).mean())
        return scores
