"""Training a generator on captioned pictures: emoji by name and scenes in words, or the user's own folder.

The tokenizer is frozen, so every picture is taken apart once, before training; what is kept depends on the tokenizer's
weights and the data alone, and is read back when the run resumes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from rich.progress import track
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from limner.data.emoji import Emoji
from limner.data.scenes import HELD_OUT_NAMES, Scenes
from limner.data.source import Source
from limner.data.stream import Subset
from limner.decode.drawing import Drawer
from limner.nn.pixels import to_tensor
from limner.tokenizers.autoencoder import Autoencoder
from limner.types import Image, Rng, Tokens, derive_seed

PREVIEW = (
    "a red heart",
    "a blue star",
    "a small green circle in the top left",
    "a large purple cross in the middle",
    "a red heart left of a blue star",
    "a green triangle above an orange square",
    "a yellow ring below a black arrow",
    "a pink diamond right of a brown crescent",
    "grinning face",
    "cat face",
    "red apple",
    "airplane",
    "birthday cake",
    "snowman",
    "tulip",
    "rocket",
)


def captioned_worlds(size: int, scenes: int, seed: int) -> list[Source]:
    """Emoji by name, then ``scenes`` scenes of one thing and as many of two, on white, placed on the grid."""
    one = Scenes(seed, split="train", size=size, objects=(1, 1), length=scenes)
    two = Scenes(seed + 1, split="train", size=size, objects=(2, 2), length=scenes)
    emoji = Emoji("train", size=size)
    apart = [i for i in range(len(emoji)) if emoji.name(i) not in HELD_OUT_NAMES]  # "purple heart" is to be composed
    return [Subset(emoji, apart), one, two]


class Pieces:
    """Captioned pictures, taken apart: parameters of the posterior of each latent, or ids.

    Args:
        tokenizer: takes pictures apart.
        sources: what to take apart.
        cache: file that keeps the result; used again only for the same tokenizer and data.
        identity: whatever determines the result, for the name of the cache.
    """

    def __init__(
        self, tokenizer: Autoencoder, sources: Sequence[Source], cache: Path, identity: dict[str, object]
    ) -> None:
        digest = hashlib.blake2b(json.dumps(identity, sort_keys=True).encode(), digest_size=8).hexdigest()
        path = cache / f"pieces-{digest}.safetensors"
        self.captions = [source[i].caption for source in sources for i in range(len(source))]
        self.starts = np.cumsum([0, *(len(source) for source in sources)])
        if path.is_file():
            kept = load_file(path)
        else:
            kept = take_apart(tokenizer, sources)
            cache.mkdir(parents=True, exist_ok=True)
            aside = path.with_suffix(".writing")
            save_file(kept, aside)
            aside.rename(path)
        self.kept, self.draw = kept, tokenizer.quantizer.draw

    def tokens(self, index: Tensor, rng: Rng) -> Tokens:
        """Tokens of some pictures; continuous ones are drawn from their posterior."""
        return self.draw({name: kept[index] for name, kept in self.kept.items()}, rng)


@torch.no_grad()
def take_apart(tokenizer: Autoencoder, sources: Sequence[Source]) -> dict[str, Tensor]:
    """What `Pieces` keeps of every picture of the sources."""
    parts: list[dict[str, Tensor]] = []
    for image in track(list(_chunks(sources)), description="taking pictures apart", transient=True):
        parts.append(tokenizer.quantizer.keep(tokenizer.features(image())))
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def _chunks(sources: Sequence[Source], size: int = 64) -> Iterable[_Chunk]:
    for source in sources:
        for start in range(0, len(source), size):
            yield _Chunk(source, start, min(start + size, len(source)))


class _Chunk:
    def __init__(self, source: Source, start: int, stop: int) -> None:
        self.source, self.start, self.stop = source, start, stop

    def __call__(self) -> Image:
        return to_tensor([self.source[i].image for i in range(self.start, self.stop)])


class CaptionedTask:
    """Trains the generator of a `Drawer` on pieces and captions.

    Args:
        model: what draws.
        pieces: the training set.
        shares: how often each of its sources is taken.
        seed: of the order of the data.
        preview: prompts of the sample grid.
    """

    def __init__(
        self, model: Drawer, pieces: Pieces, shares: Sequence[float], *, seed: int, preview: Sequence[str] = PREVIEW
    ) -> None:
        self.model, self.pieces, self.seed, self.prompts = model, pieces, seed, preview
        self.extra: nn.Module | None = None
        self.edges = np.cumsum(np.asarray(shares) / np.sum(shares))
        self.text = model.subwords.encode(pieces.captions)

    def batch(self, start: int, size: int) -> dict[str, Tensor]:
        """Tokens and captions of items ``start .. start + size``."""
        rng = np.random.default_rng((self.seed, start))
        source = np.searchsorted(self.edges, rng.random(size), side="right").clip(max=len(self.edges) - 1)
        first, last = self.pieces.starts[source], self.pieces.starts[source + 1]
        index = torch.from_numpy(first + (rng.random(size) * (last - first)).astype(np.int64))
        tokens = self.pieces.tokens(index, Rng(derive_seed(self.seed, "posterior", start)))
        return {"tokens": self.model.fold(tokens), "text": self.text[index]}

    def loss(self, model: nn.Module, batch: dict[str, Tensor], rng: Rng) -> tuple[Tensor, dict[str, Tensor | float]]:
        assert isinstance(model, Drawer)
        return model.generator.loss(batch["tokens"], batch["text"], rng), {}

    def preview(self, model: nn.Module) -> Image:
        """What the model draws of the preview prompts."""
        assert isinstance(model, Drawer)
        seeds = [derive_seed(0, "preview", i) for i in range(len(self.prompts))]
        return model.images(self.prompts, seeds).cpu()

    def validate(self, model: nn.Module) -> dict[str, float]:
        return {}
