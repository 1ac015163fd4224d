"""Training a generator on captioned pictures: emoji by name and scenes in words, or the user's own folder.

The tokenizer is frozen, so every picture is taken apart once, before training; what is kept depends on the tokenizer's
weights and the data alone, and is read back, with the captions, when the run resumes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int
from rich.console import Console
from rich.progress import track
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from limner.data.emoji import Emoji
from limner.data.folder import Folder
from limner.data.images import extent
from limner.data.scenes import HELD_OUT_NAMES, PHRASINGS, Scenes
from limner.data.source import Source
from limner.data.stream import Padded, Subset
from limner.errors import InputError
from limner.evaluate.protocol import weights_hash
from limner.generators.conditions import TextCondition
from limner.generators.orders import Order
from limner.languages.subwords import Subwords
from limner.models.text_to_image import TextToImage
from limner.nn.pixels import to_tensor
from limner.store.folder import load
from limner.tokenizers.tokenizer import QuantizingTokenizer
from limner.train.settings import Settings
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


@dataclass(frozen=True, kw_only=True)
class Knobs(Settings):
    """A generator of captioned pictures over a frozen tokenizer."""

    tokenizer: str
    """Name or folder of the tokenizer."""
    data: Path | None = None
    """Folder of your own captioned pictures; without it emoji and scenes."""
    scenes: int = 15_000
    """Scenes of each of four kinds (one thing or two, its place told or any caption) that are taken apart."""
    width: int = 256
    """Width of the transformers."""
    text_depth: int = 1
    """Blocks that read the caption alone."""
    text_length: int = 18
    """Subwords of a caption."""
    vocabulary: int = 1536
    """Subwords there are."""
    guidance: float = 2.0
    """Guidance that the finished model draws with."""
    images: int = 800_000
    batch: int = 64
    lr: float = 1e-3
    muon: float = 3e-3
    warmup: int = 5_000
    ema: int = 10_000
    beta2: float = 0.95
    sample_every: int = 40_000
    checkpoint_every: int = 20_000

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width < 64 or self.width % 64:
            raise InputError(f"--width is {self.width}, but must be a multiple of 64: each head of attention has 64")

    @property
    def heads(self) -> int:
        """Heads of every attention."""
        return self.width // 64


def text_condition(knobs: Knobs) -> TextCondition:
    """The caption's encoder. Its tokens are read as a prefix; where a condition steers, their mean does."""
    return TextCondition(
        knobs.vocabulary, knobs.width, count=knobs.text_length, depth=knobs.text_depth, heads=knobs.heads
    )


def frozen_tokenizer(name: str, *, discrete: bool, patch: int = 1) -> QuantizingTokenizer:
    """The tokenizer of a generator; raises `InputError` if it is none, or if its tokens do not suit the generator."""
    model = load(name)
    if not isinstance(model, QuantizingTokenizer):
        raise InputError(f"{name} is no tokenizer: choose one, such as vae-64 or vq-vae-64, or train your own")
    if model.quantizer.discrete != discrete:
        has, wanted = ("no codebook", "vq-vae-64") if discrete else ("a codebook", "vae-64")
        raise InputError(f"{name} has {has}, but this generator draws other tokens: choose one such as {wanted}")
    grid = model.layout.grids[-1]
    if patch > 1 and (len(grid) == 1 or any(edge % patch for edge in grid[-2:])):
        shown = "x".join(map(str, grid))
        raise InputError(f"--patch {patch} does not divide the {shown} latents of {name}: choose 1, 2 or 4")
    return model


def one_grid(name: str, tokenizer: QuantizingTokenizer) -> tuple[int, int]:
    """Rows and columns of its tokens; raises `InputError` if they are a line, a clip or a pyramid."""
    grids = tokenizer.layout.grids
    if len(grids) > 1 or len(grids[0]) != 2:
        listed = ", ".join("x".join(map(str, grid)) for grid in grids)
        raise InputError(
            f"tokens of {name} lie as {listed}, but this generator draws one grid of rows and columns: choose one such "
            f"as {'vq-vae-64' if tokenizer.quantizer.discrete else 'vae-64'}"
        )
    rows, columns = grids[0]
    return rows, columns


def captioned_worlds(size: Size, scenes: int, seed: int) -> list[Source]:
    """Emoji by name, then ``scenes`` scenes of one thing whose caption tells size and place, as many with any caption,
    and the same two of two things; on white, on the grid. Captions that tell everything teach to read the sooner."""
    told, side = PHRASINGS.index("size and position"), min(extent(size))
    one = [Scenes(seed, objects=(1, 1), phrasing=told, size=side, length=scenes)]
    one += [Scenes(seed + 1, objects=(1, 1), size=side, length=scenes)]
    two = [Scenes(seed + 2, objects=(2, 2), phrasing=told, size=side, length=scenes)]
    two += [Scenes(seed + 3, objects=(2, 2), size=side, length=scenes)]
    emoji = Emoji("train", size=side)
    apart = [i for i in range(len(emoji)) if emoji.name(i) not in HELD_OUT_NAMES]  # "purple heart" is to be composed
    sources: list[Source] = [Subset(emoji, apart), *one, *two]
    return [Padded(source, size) for source in sources]


CHUNK = 64  # pictures taken apart at a time
CAPTIONS = "captions"


class TokenizedPictures:
    """Captioned pictures, taken apart: parameters of the posterior of each latent, or ids.

    Args:
        tokenizer: takes pictures apart.
        sources: what to take apart.
        cache: folder that keeps the result; used again only for the same tokenizer and data.
        identity: whatever determines what the sources hold, for the name of the file in it.
    """

    def __init__(
        self, tokenizer: QuantizingTokenizer, sources: Sequence[Source], cache: Path, identity: dict[str, object]
    ) -> None:
        assert isinstance(tokenizer, nn.Module)
        whole = [weights_hash(tokenizer), [len(source) for source in sources], identity]
        digest = hashlib.blake2b(json.dumps(whole, sort_keys=True).encode(), digest_size=8).hexdigest()
        path = cache / f"pieces-{digest}.safetensors"
        if not path.is_file():
            cache.mkdir(parents=True, exist_ok=True)
            aside = path.with_suffix(".writing")
            save_file(tokenize_sources(tokenizer, sources), aside)
            aside.rename(path)
        self.kept = load_file(path)
        self.captions: list[str] = json.loads(bytes(self.kept.pop(CAPTIONS).numpy()))
        self.starts = np.cumsum([0, *(len(source) for source in sources)])
        self.draw = tokenizer.quantizer.draw

    def tokens(self, index: Tensor, rng: Rng) -> Tokens:
        """Tokens of some pictures; continuous ones are drawn from their posterior."""
        return self.draw({name: kept[index] for name, kept in self.kept.items()}, rng)


@torch.no_grad()
def tokenize_sources(tokenizer: QuantizingTokenizer, sources: Sequence[Source]) -> dict[str, Tensor]:
    """What `TokenizedPictures` keeps of every picture of the sources: its tokens, and all captions as JSON bytes."""
    parts: list[dict[str, Tensor]] = []
    captions: list[str] = []
    chunks = [(source, start) for source in sources for start in range(0, len(source), CHUNK)]
    console = Console(stderr=True)
    for source, start in track(
        chunks, "taking pictures apart", transient=True, console=console, disable=not console.is_terminal
    ):
        examples = [source[i] for i in range(start, min(start + CHUNK, len(source)))]
        parts.append(tokenizer.quantizer.keep(tokenizer.features(to_tensor([e.image for e in examples]))))
        captions += [example.caption for example in examples]
    kept = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    return {**kept, CAPTIONS: torch.frombuffer(bytearray(json.dumps(captions).encode()), dtype=torch.uint8)}


def tokenized_worlds(tokenizer: QuantizingTokenizer, scenes: int, seed: int, cache: Path) -> TokenizedPictures:
    """The captioned worlds, taken apart; see `captioned_worlds`."""
    return TokenizedPictures(
        tokenizer, captioned_worlds(tokenizer.size, scenes, seed), cache, {"scenes": scenes, "seed": seed}
    )


class TextToImageTask:
    """Trains the generator of a `TextToImage` on pieces and captions.

    Args:
        model: what draws.
        pieces: the training set.
        shares: how often each of its sources is taken.
        seed: of the order of the data.
        preview: prompts of the sample grid.
        order: that of a batch after a part of the training in [0, 1], where it changes.
        images: of the whole training.
    """

    def __init__(
        self,
        model: TextToImage,
        pieces: TokenizedPictures,
        shares: Sequence[float],
        *,
        seed: int,
        preview: Sequence[str] = PREVIEW,
        order: Callable[[float], Order] | None = None,
        images: int = 1,
    ) -> None:
        self.model, self.pieces, self.seed, self.prompts = model, pieces, seed, preview
        self.order, self.images = order, images
        self.extra: nn.Module | None = None
        self.edges = np.cumsum(np.asarray(shares) / np.sum(shares))
        self._read: tuple[object, Int[Tensor, "n k"]] | None = None

    @property
    def text(self) -> Int[Tensor, "n k"]:
        """Ids of all captions, by the vocabulary that the model has now: a run that is resumed reads its own after the
        task was made."""
        subwords = self.model.subwords
        if self._read is None or self._read[0] is not subwords.vocabulary:
            self._read = subwords.vocabulary, subwords.encode(self.pieces.captions)
        return self._read[1]

    def batch(self, start: int, size: int) -> dict[str, Tensor]:
        """Tokens and captions of items ``start .. start + size``."""
        drawn = np.stack([np.random.default_rng((self.seed, k)).random(2) for k in range(start, start + size)])
        source = np.searchsorted(self.edges, drawn[:, 0], side="right").clip(max=len(self.edges) - 1)
        first, last = self.pieces.starts[source], self.pieces.starts[source + 1]
        index = torch.from_numpy(first + (drawn[:, 1] * (last - first)).astype(np.int64))
        seeds = [derive_seed(self.seed, "posterior", k) for k in range(start, start + size)]
        tokens = self.pieces.tokens(index, Rng(seeds))
        progress = torch.tensor(min(start / self.images, 1.0))
        return {"tokens": self.model.fold(tokens), "text": self.text[index], "progress": progress}

    def loss(self, model: nn.Module, batch: dict[str, Tensor], rng: Rng) -> tuple[Tensor, dict[str, Tensor | float]]:
        assert isinstance(model, TextToImage)
        order = None if self.order is None else self.order(float(batch["progress"]))
        return model.generator.loss(batch["tokens"], batch["text"], rng, order), {}

    def preview(self, model: nn.Module) -> Image:
        """What the model draws of the preview prompts."""
        assert isinstance(model, TextToImage)
        seeds = [derive_seed(0, "preview", i) for i in range(len(self.prompts))]
        return model.images(self.prompts, seeds).cpu()

    def validate(self, model: nn.Module) -> dict[str, float]:
        return {}


def text_to_image_task(
    knobs: Knobs, model: TextToImage, *, order: Callable[[float], Order] | None = None
) -> TextToImageTask:
    """Train a drawer on the captioned worlds or on the user's folder; ``order``: see `TextToImageTask`."""
    tokenizer = model.tokenizer
    assert isinstance(tokenizer, QuantizingTokenizer), "a drawer is built around one, see frozen_tokenizer"
    preview: tuple[str, ...] = PREVIEW
    kept = (knobs.out or Path("runs")) / "cache"
    if knobs.data is None:
        shares: Sequence[float] = SHARES
        pieces = tokenized_worlds(tokenizer, knobs.scenes, knobs.seed, kept)
    else:
        own = Folder(knobs.data, size=tokenizer.size)
        captions = tuple(dict.fromkeys(caption for caption in own.captions if caption))
        if not captions:
            raise InputError(f"no picture in {knobs.data} has a caption: write it into a .txt of the picture's name")
        shares, preview = (1.0,), captions[:16]
        pieces = TokenizedPictures(tokenizer, [own], kept, {"pictures": own.fingerprint()})
    model.subwords = Subwords.trained(pieces.captions, size=knobs.vocabulary, length=knobs.text_length)
    return TextToImageTask(model, pieces, shares, seed=knobs.seed, preview=preview, order=order, images=knobs.images)
