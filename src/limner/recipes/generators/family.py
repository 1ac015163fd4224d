"""What all generators of captioned images share: knobs, the caption's encoder, a frozen tokenizer, lesson and scores.

    caption -> TextCondition -> Generator (order, backbone, head: a system's own) -> tokens -> tokenizer -> image

A system's file adds its knobs to `Knobs` and builds the `Generator` over what `frozen_tokenizer` or `codes` returns.
Data, training and scoring are imported when they are needed, so that loading a model imports neither.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from torch import Tensor

from limner.data.images import MAX_PIXELS
from limner.data.naming import AS_WRITTEN, Worlds
from limner.decode.decoder import Decoder
from limner.errors import InputError
from limner.generators.conditions import TextCondition
from limner.generators.generator import Generator
from limner.generators.orders import Order
from limner.languages.subwords import Subwords
from limner.models.text_to_image import TextToImage
from limner.recipe import EvaluationRequest
from limner.store.folder import load
from limner.tokenizers.quantizers.quantizer import Discrete
from limner.tokenizers.tokenizer import QuantizingTokenizer
from limner.train.settings import RARE, RUN, Settings
from limner.train.task import Task

Lesson: TypeAlias = Task[TextToImage, dict[str, Any]]
TINY = {"width": 64, "text_length": 48, "vocabulary": 512, "scenes": 8}


@dataclass(frozen=True, kw_only=True)
class Knobs(Settings):
    """A generator of captioned images over a frozen tokenizer."""

    tokenizer: str
    """Name or folder of the tokenizer."""
    data: Path | None = None
    """Your own captioned pictures, a folder or tar shards; without them emoji and scenes."""
    max_pixels: int = field(default=MAX_PIXELS, metadata={**RUN, **RARE})
    """Pictures of yours with more pixels are refused before they are decoded."""
    scenes: int = 15_000
    """Scenes of each of four kinds (one thing or two, with its position named or any caption) that are tokenized."""
    width: int = 192
    """Width of the transformers."""
    text_depth: int = 1
    """Blocks that read the caption alone."""
    text_length: int = 18
    """Subwords of a caption."""
    vocabulary: int = 1024
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


@dataclass(frozen=True, kw_only=True)
class Codes(Knobs):
    """A transformer over the ids of a codebook."""

    tokenizer: str = "vq-vae-64"
    depth: int = 4
    """Blocks of the transformer."""


def text_condition(knobs: Knobs) -> TextCondition:
    """The caption's encoder. Its tokens are read as a prefix; where a backbone is modulated, by their mean."""
    return TextCondition(
        knobs.vocabulary, knobs.width, count=knobs.text_length, depth=knobs.text_depth, heads=knobs.heads
    )


def text_to_image(
    knobs: Knobs,
    generator: Generator,
    tokenizer: QuantizingTokenizer,
    decoder: Callable[[Generator], Decoder] = Decoder,
    *,
    patch: int = 1,
    temperature: float = 1.0,
    steps: int | None = None,
) -> TextToImage:
    """The model: a generator over its tokenizer, with the guidance of the knobs; its subwords are learned later."""
    return TextToImage(
        generator,
        Subwords(knobs.text_length),
        tokenizer,
        patch=patch,
        guidance=knobs.guidance,
        temperature=temperature,
        steps=steps,
        decoder=decoder,
        naming=Worlds() if knobs.data is None else AS_WRITTEN,
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
        written = "x".join(map(str, grid))
        raise InputError(f"--patch {patch} does not divide the {written} latents of {name}: choose 1, 2 or 4")
    return model


def codes(name: str) -> tuple[QuantizingTokenizer, int]:
    """A tokenizer whose tokens are ids, and how many ids there are; errors as those of `frozen_tokenizer`."""
    tokenizer = frozen_tokenizer(name, discrete=True)
    assert isinstance(tokenizer.quantizer, Discrete)
    return tokenizer, tokenizer.quantizer.entries


def grid_of_codes(name: str) -> tuple[QuantizingTokenizer, int, tuple[int, int]]:
    """As `codes`, with rows and columns of its one grid; errors as those of `one_grid`."""
    tokenizer, entries = codes(name)
    return tokenizer, entries, one_grid(name, tokenizer)


def one_grid(name: str, tokenizer: QuantizingTokenizer, cell: int = 1, option: str = "") -> tuple[int, int]:
    """Rows and columns of its tokens; raises `InputError` if they are a line, a clip or a pyramid, or if square cells
    of ``cell`` tokens on a side, set by ``option``, do not fill them."""
    grids = tokenizer.layout.grids
    if len(grids) > 1 or len(grids[0]) != 2:
        listed = ", ".join("x".join(map(str, grid)) for grid in grids)
        raise InputError(
            f"tokens of {name} lie as {listed}, but this generator draws one grid of rows and columns: choose one such "
            f"as {'vq-vae-64' if tokenizer.quantizer.discrete else 'vae-64'}"
        )
    rows, columns = grids[0]
    if cell < 1 or rows % cell or columns % cell:
        raise InputError(f"--{option} {cell} does not divide the {rows}x{columns} latents of {name}: choose 2 or 4")
    return rows, columns


def lesson(knobs: Knobs, model: TextToImage, order: Callable[[Tensor], Order] | None = None) -> Lesson:
    """Training on the captioned worlds or on the user's folder, whose captions decide the subwords; ``order``: that of
    a batch after a part of the training in [0, 1], where it changes."""
    from limner.lessons.captions import captioned, text_to_image_task

    tokenizer = model.tokenizer
    assert isinstance(tokenizer, QuantizingTokenizer)
    cache = (knobs.out or Path("runs")) / "cache"
    data = captioned(
        tokenizer, knobs.data, scenes=knobs.scenes, seed=knobs.seed, cache=cache, max_pixels=knobs.max_pixels
    )
    model.subwords = Subwords.trained(data.pictures.captions, size=knobs.vocabulary, length=knobs.text_length)
    return text_to_image_task(
        model, data.pictures, data.shares, seed=knobs.seed, preview=data.preview, order=order, images=knobs.images
    )


def score(model: TextToImage, request: EvaluationRequest) -> dict[str, Any]:
    """Prompt accuracy and Frechet distances; see `limner.recipes.scores`."""
    from limner.recipes.scores import generator_scores

    return generator_scores(model, request)
