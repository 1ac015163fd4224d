"""Training a generator on captioned images: emoji by name and scenes in words, or the user's own folder.

    loss = Generator.loss(tokens of the frozen tokenizer, caption)

The tokenizer is frozen, so every image is tokenized once, before training. What is kept depends on the tokenizer's
weights and the data alone, and is read back, with the captions, when the run resumes.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from jaxtyping import Float, Int
from rich.console import Console
from rich.progress import track
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from limner.data.emoji import Emoji
from limner.data.images import MAX_PIXELS, extent
from limner.data.own import open_own
from limner.data.readable import Readable
from limner.data.scenes import HELD_OUT_NAMES, PHRASINGS, Scenes
from limner.data.source import Source
from limner.data.stream import Padded, Subset
from limner.errors import InputError
from limner.evaluate.protocol import weights_hash
from limner.generators.orders import Order
from limner.models.text_to_image import TextToImage
from limner.nn.pixels import to_tensor
from limner.tokenizers.tokenizer import QuantizingTokenizer
from limner.train.task import Loss, Task
from limner.types import Image, Rng, Size, Tokens, derive_seed

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


SHARES = (0.4, 0.2, 0.1, 0.15, 0.15)  # how often each of `captioned_worlds` is taken


def captioned_worlds(size: Size, scenes: int, seed: int) -> list[Source]:
    """Emoji by name, then ``scenes`` scenes of one thing whose caption names size and position, as many with any
    caption, and the same two of two things; on white, on the grid. Captions that name everything are learned sooner."""
    complete, side = PHRASINGS.index("size and position"), min(extent(size))
    one = [Scenes(seed, objects=(1, 1), phrasing=complete, size=side, length=scenes)]
    one += [Scenes(seed + 1, objects=(1, 1), size=side, length=scenes)]
    two = [Scenes(seed + 2, objects=(2, 2), phrasing=complete, size=side, length=scenes)]
    two += [Scenes(seed + 3, objects=(2, 2), size=side, length=scenes)]
    emoji = Emoji("train", size=side)
    apart = [i for i in range(len(emoji)) if emoji.name(i) not in HELD_OUT_NAMES]  # "purple heart" is to be composed
    sources: list[Source] = [Subset(emoji, apart), *one, *two]
    return [Padded(source, size) for source in sources]


CHUNK = 64  # images tokenized at a time
CAPTIONS = "captions"


class TokenizedPictures:
    """Tokens and captions of images: parameters of the posterior of each latent, or ids.

    Args:
        tokenizer: encodes the images.
        sources: captioned images.
        cache: folder that keeps the result; used again only for the same tokenizer and data.
        identity: whatever determines what the sources hold, for the name of the file in it.
        notices: sentences on images that are left out.
    """

    def __init__(
        self,
        tokenizer: QuantizingTokenizer,
        sources: Sequence[Source],
        cache: Path,
        identity: dict[str, object],
        notices: list[str] | None = None,
    ) -> None:
        self.notices = [] if notices is None else notices
        assert isinstance(tokenizer, nn.Module)
        whole = [weights_hash(tokenizer), [len(source) for source in sources], identity]
        digest = hashlib.blake2b(json.dumps(whole, sort_keys=True).encode(), digest_size=8).hexdigest()
        path = cache / f"tokens-{digest}.safetensors"
        if not path.is_file():
            cache.mkdir(parents=True, exist_ok=True)
            aside = path.with_suffix(f".writing-{os.getpid()}")
            save_file(tokenize_sources(tokenizer, sources), aside)
            aside.rename(path)
        self.kept = load_file(path)
        self.captions: list[str] = json.loads(bytes(self.kept.pop(CAPTIONS).numpy()))
        self.starts = np.cumsum([0, *(len(source) for source in sources)])
        self.draw = tokenizer.quantizer.draw

    def tokens(self, index: Tensor, rng: Rng) -> Tokens:
        """Tokens of some images; continuous ones are drawn from their posterior."""
        return self.draw({name: kept[index] for name, kept in self.kept.items()}, rng)


@torch.no_grad()
def tokenize_sources(tokenizer: QuantizingTokenizer, sources: Sequence[Source]) -> dict[str, Tensor]:
    """What `TokenizedPictures` keeps of every image of the sources: its tokens, and all captions as JSON bytes."""
    parts: list[dict[str, Tensor]] = []
    captions: list[str] = []
    chunks = [(source, start) for source in sources for start in range(0, len(source), CHUNK)]
    console = Console(stderr=True)
    for source, start in track(chunks, "tokenizing", transient=True, console=console, disable=not console.is_terminal):
        examples = [source[i] for i in range(start, min(start + CHUNK, len(source)))]
        parts.append(tokenizer.quantizer.keep(tokenizer.features(to_tensor([e.image for e in examples]))))
        captions += [example.caption for example in examples]
    kept = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    return {**kept, CAPTIONS: torch.frombuffer(bytearray(json.dumps(captions).encode()), dtype=torch.uint8)}


def tokenized_worlds(tokenizer: QuantizingTokenizer, scenes: int, seed: int, cache: Path) -> TokenizedPictures:
    """The captioned worlds, tokenized; see `captioned_worlds`."""
    return TokenizedPictures(
        tokenizer, captioned_worlds(tokenizer.size, scenes, seed), cache, {"scenes": scenes, "seed": seed}
    )


class Captioned(NamedTuple):
    """Tokenized images to learn from, how often each of their sources is taken, and prompts of the sample grid."""

    pictures: TokenizedPictures
    shares: Sequence[float]
    preview: Sequence[str] = PREVIEW


def captioned(
    tokenizer: QuantizingTokenizer,
    data: Path | None,
    *,
    scenes: int,
    seed: int,
    cache: Path,
    max_pixels: int = MAX_PIXELS,
) -> Captioned:
    """The captioned worlds, or the user's own ``data``; raises `InputError` if no image there has a caption."""
    if data is None:
        return Captioned(tokenized_worlds(tokenizer, scenes, seed, cache), SHARES)
    own = open_own(data, tokenizer.size, max_pixels=max_pixels)
    captions = tuple(dict.fromkeys(caption for caption in own.captions if caption))
    if not captions:
        raise InputError(f"no picture in {data} has a caption: write it into a .txt of the picture's name")
    notices: list[str] = []
    pictures = TokenizedPictures(tokenizer, [Readable(own, notices)], cache, {"pictures": own.fingerprint()}, notices)
    return Captioned(pictures, (1.0,), captions[:16])


class CaptionStream:
    """Batches of tokens and captions for a model: functions of the number of their first item.

    Args:
        model: reads captions by its subwords and may fold tokens.
        pictures: the training set.
        shares: how often each of its sources is taken.
        seed: of the order of the data.
        images: of the whole training.
    """

    def __init__(
        self, model: TextToImage, pictures: TokenizedPictures, shares: Sequence[float], seed: int, images: int
    ) -> None:
        self.model, self.pictures, self.seed, self.images = model, pictures, seed, images
        self.edges = np.cumsum(np.asarray(shares) / np.sum(shares))
        self._read: tuple[object, Int[Tensor, "n k"]] | None = None

    @property
    def text(self) -> Int[Tensor, "n k"]:
        """Ids of all captions, by the vocabulary that the model has now: a run that is resumed reads its own after the
        task was made."""
        subwords = self.model.subwords
        if self._read is None or self._read[0] is not subwords.vocabulary:
            self._read = subwords.vocabulary, subwords.encode(self.pictures.captions)
        return self._read[1]

    def batch(self, start: int, size: int) -> dict[str, Tensor]:
        """Tokens and captions of items ``start .. start + size``, and the part of the training behind each."""
        drawn = np.stack([np.random.default_rng((self.seed, k)).random(2) for k in range(start, start + size)])
        source = np.searchsorted(self.edges, drawn[:, 0], side="right").clip(max=len(self.edges) - 1)
        first, last = self.pictures.starts[source], self.pictures.starts[source + 1]
        index = torch.from_numpy(first + (drawn[:, 1] * (last - first)).astype(np.int64))
        seeds = [derive_seed(self.seed, "posterior", k) for k in range(start, start + size)]
        tokens = self.pictures.tokens(index, Rng(seeds))
        progress = (torch.arange(start, start + size, dtype=torch.float64) / self.images).clamp(max=1.0).float()
        return {"tokens": self.model.fold(tokens), "text": self.text[index], "progress": progress}


TextToImageTask: TypeAlias = Task[TextToImage, dict[str, Tensor]]


def text_to_image_task(
    model: TextToImage,
    pictures: TokenizedPictures,
    shares: Sequence[float],
    *,
    seed: int,
    preview: Sequence[str] = PREVIEW,
    order: Callable[[Float[Tensor, "b"]], Order] | None = None,
    images: int = 1,
) -> TextToImageTask:
    """Train the generator of a `TextToImage` on tokens and captions.

    Args:
        model, pictures, shares, seed, images: see `CaptionStream`.
        preview: prompts of the sample grid.
        order: that of a batch, each image of which comes after a part of the training in [0, 1], where it changes.
    """

    def loss(model: TextToImage, batch: dict[str, Tensor], rng: Rng) -> Loss:
        now = None if order is None else order(batch["progress"])
        return model.generator.loss(batch["tokens"], batch["text"], rng, now), {}

    stream = CaptionStream(model, pictures, shares, seed, images)
    return Task(
        model,
        stream.batch,
        loss,
        preview=lambda model: draw_prompts(model, preview),
        coupling=model.generator.coupling,
        notices=pictures.notices,
    )


def draw_prompts(model: TextToImage, prompts: Sequence[str] = PREVIEW) -> Image:
    """What the model draws of some prompts, always with the same seeds."""
    return model.images(prompts, [derive_seed(0, "preview", i) for i in range(len(prompts))]).cpu()
