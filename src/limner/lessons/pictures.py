"""The pictures that limner's own tokenizers learn from: emoji, scenes, and crops of photographs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from limner.data.emoji import Emoji
from limner.data.images import MAX_PIXELS, Size, extent
from limner.data.own import held_out, open_own
from limner.data.photos import Photos
from limner.data.readable import Readable, readable
from limner.data.scenes import Scenes
from limner.data.source import Example, Source
from limner.data.stream import CachedSource, Padded, Stream, Variation, chain, mirrored, recoloured, shifted
from limner.nn.pixels import to_tensor
from limner.nn.whole_batch import coupling_of
from limner.store.folder import load
from limner.tokenizers.discriminator import PatchDiscriminator
from limner.tokenizers.objective import ReconstructionObjective
from limner.tokenizers.tokenizer import Objective, QuantizingTokenizer
from limner.train.task import Task
from limner.types import Image


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


def learning_from(
    data: Path | None, size: Size, seed: int, max_pixels: int = MAX_PIXELS
) -> tuple[Stream, dict[str, Source]]:
    """What a tokenizer learns from, and held-out images by kind: the worlds', or the user's own, mirrored and shifted,
    of which `limner.data.own.held_out` keeps some back."""
    if data is not None:
        training, kept = held_out(open_own(data, size, max_pixels=max_pixels))
        notices: list[str] = []
        source = CachedSource(Readable(training, notices))
        stream = Stream([source], vary=[chain(mirrored, shifted)], seed=seed, notices=notices)
        last = readable(kept, notices)
        return stream, {"own": last} if last else {}
    side = min(extent(size))
    emoji, scenes = Emoji("heldout", size=side), Scenes(0, split="heldout", size=side, objects=(1, 4))
    return worlds(size, seed), {"emoji": Padded(emoji, size), "scenes": Padded(scenes, size)}


def reconstruction(l1: float, l2: float, perceptual: float, adversarial: float) -> ReconstructionObjective:
    """The reconstruction error of these weights, with the shipped feature net and a discriminator where they count."""
    return ReconstructionObjective(
        l1=l1,
        l2=l2,
        perceptual=perceptual,
        adversarial=adversarial,
        features=load("features").maps if perceptual else None,
        discriminator=PatchDiscriminator() if adversarial else None,
    )


TokenizerTask: TypeAlias = Task[Any, Image]


def tokenizer_task(
    model: QuantizingTokenizer,
    stream: Stream,
    objective: Objective,
    unseen: Mapping[str, Source],
    extra: nn.Module | None = None,
) -> TokenizerTask:
    """Train a tokenizer on a stream of images.

    Args:
        model: the tokenizer.
        stream: what it learns from.
        objective: its loss.
        unseen: held-out images by kind; up to 96 of each are scored and shown. Without any, nothing is.
        extra: what the objective trains beside it, such as a discriminator.
    """
    module = cast(nn.Module, model)
    learning = any(one.requires_grad for name, one in module.named_parameters() if not name.startswith("decoder."))
    images = {
        name: to_tensor([source[i].image for i in range(min(len(source), 96))]) for name, source in unseen.items()
    }

    def batch(start: int, size: int) -> Image:
        return to_tensor([example.image for example in stream.take(start, size)])

    return Task(
        module,
        batch,
        objective,
        extra,
        (lambda model: beside_reconstructions(model, images)) if images else None,
        lambda model: reconstruction_psnr(model, images),
        coupling_of(objective, *([model.quantizer] if learning else [])),  # a codebook of frozen latents stands still
        stream.notices,
    )


def reconstructed(model: QuantizingTokenizer, image: Image) -> Image:
    """Images encoded and decoded, 32 at a time, on the CPU."""
    device = next(cast(nn.Module, model).parameters()).device
    return torch.cat([model.decode(model.encode(part.to(device))).cpu() for part in image.split(32)])


def beside_reconstructions(
    model: QuantizingTokenizer, held_out: Mapping[str, Float[Tensor, "_ 3 h w"]]
) -> Float[Tensor, "pairs 3 h w"]:
    """Images above their reconstructions, eight by eight; white ones fill the last row."""
    originals = torch.cat([images[: 32 // len(held_out)] for images in held_out.values()])
    originals = torch.cat([originals, originals.new_ones(-len(originals) % 8, *originals.shape[1:])])
    rebuilt = reconstructed(model, originals)
    return torch.cat([row for pair in zip(originals.split(8), rebuilt.split(8), strict=True) for row in pair])


def reconstruction_psnr(
    model: QuantizingTokenizer, held_out: Mapping[str, Float[Tensor, "_ 3 h w"]]
) -> dict[str, float]:
    """Mean PSNR in dB of the images of each kind."""
    scores = {}
    for name, images in held_out.items():
        mse = (reconstructed(model, images) - images).square().mean((1, 2, 3))
        scores[f"psnr/{name}"] = float((10 * torch.log10(4 / mse)).mean())
    return scores
