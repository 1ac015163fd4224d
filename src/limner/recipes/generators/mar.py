"""MAR: masked autoregression over continuous tokens with a diffusion loss.

Li et al., Autoregressive Image Generation without Vector Quantization, arXiv:2406.11838. An encoder reads the known
tokens and the condition, a decoder gives every unknown token a context, and a small denoising MLP draws the token from
it; tokens come in a random order, several at a time. Deviations of the shipped size: captions in place of classes,
SiLU for GELU (faster on a CPU), 2x2 latents per token, one learning rate, no dropout.

    limner train mar --out runs/mar                          # the shipped mar-emoji-64: two hours
    limner train mar --data photos/ --tokenizer runs/own --out runs/mine
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch.nn import functional

from limner.data.folder import Folder
from limner.data.source import Source
from limner.decode.drawing import Drawer
from limner.errors import InputError
from limner.generators.backbones.masked import MaskedAutoencoder
from limner.generators.conditions import TextCondition
from limner.generators.generator import Generator
from limner.generators.heads.diffusion import DiffusionHead
from limner.generators.heads.head import Head
from limner.generators.orders import RandomMasked
from limner.languages.subwords import Subwords
from limner.recipes.generators.captioned import CaptionedTask, Pieces, captioned_worlds, frozen_tokenizer
from limner.recipes.judging import generator_scores
from limner.recipes.recipe import Claim, Recipe
from limner.tokenizers.autoencoder import Autoencoder
from limner.train.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Knobs(Settings):
    """A generator of captioned pictures and its frozen tokenizer."""

    tokenizer: str = "vae-64"
    """Name or folder of the tokenizer."""
    data: Path | None = None
    """Folder of your own captioned pictures; without it emoji and scenes."""
    scenes: int = 15_000
    """Scenes of each of four kinds (one thing or two, its place told or any caption) that are taken apart."""
    patch: int = 2
    """Latents on a side that make one token."""
    width: int = 256
    """Width of the transformers."""
    encoder_depth: int = 2
    """Blocks that read condition and known tokens."""
    decoder_depth: int = 3
    """Blocks that read all."""
    head_width: int = 256
    """Width of the denoising MLP."""
    head_depth: int = 3
    """Blocks of the denoising MLP."""
    head_steps: int = 50
    """Steps of the reverse process that draws a token; the paper's are 100."""
    velocity: bool = True
    """Let the denoising MLP predict the velocity; the paper's predicts epsilon, which needs far longer training."""
    emphasis: float = 1000.0
    """Largest weight of a timestep's squared error; 1 is the paper's, more learns what to draw sooner."""
    text_depth: int = 1
    """Blocks that read the caption alone."""
    text_length: int = 18
    """Subwords of a caption."""
    vocabulary: int = 1536
    """Subwords there are."""
    guidance: float = 3.0
    """Guidance that the finished model draws with."""
    images: int = 640_000
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


def generator(knobs: Knobs, tokenizer: Autoencoder, head: Head) -> Generator:
    """The masked autoregressive generator of these knobs around a head."""
    count = tokenizer.layout.length // knobs.patch**2
    return Generator(
        count=count,
        order=RandomMasked(),
        backbone=MaskedAutoencoder(
            count=count,
            prefix=knobs.text_length,
            width=knobs.width,
            encoder_depth=knobs.encoder_depth,
            decoder_depth=knobs.decoder_depth,
            heads=knobs.width // 64,
            activation=functional.silu,
            position_std=0.5,
        ),
        head=head,
        condition=text_condition(knobs),
    )


def text_condition(knobs: Knobs) -> TextCondition:
    """The caption's encoder."""
    return TextCondition(
        knobs.vocabulary, knobs.width, count=knobs.text_length, depth=knobs.text_depth, heads=knobs.width // 64
    )


def build(knobs: Knobs) -> Drawer:
    """A freshly initialised MAR over its tokenizer."""
    tokenizer = frozen_tokenizer(knobs.tokenizer, discrete=False, patch=knobs.patch)
    head = DiffusionHead(
        tokenizer.quantizer.channels * knobs.patch**2,
        knobs.width,
        width=knobs.head_width,
        depth=knobs.head_depth,
        steps=knobs.head_steps,
        velocity=knobs.velocity,
        emphasis=knobs.emphasis,
    )
    return Drawer(
        generator(knobs, tokenizer, head),
        Subwords(knobs.text_length),
        tokenizer,
        patch=knobs.patch,
        guidance=knobs.guidance,
    )


def captioned_task(knobs: Knobs, model: Drawer) -> CaptionedTask:
    """Train a drawer on the captioned worlds or on the user's folder."""
    tokenizer = model.tokenizer
    assert isinstance(tokenizer, Autoencoder), "a drawer is built around one, see frozen_tokenizer"
    size = tokenizer.size
    preview: dict[str, tuple[str, ...]] = {}
    if knobs.data is None:
        sources: list[Source] = captioned_worlds(size, knobs.scenes, knobs.seed)
        shares = [0.4, 0.2, 0.1, 0.15, 0.15]
        identity: dict[str, object] = {"scenes": knobs.scenes, "seed": knobs.seed}
    else:
        own = Folder(knobs.data, size=size)
        captions = tuple(dict.fromkeys(caption for caption in own.captions if caption))
        if not captions:
            raise InputError(f"no picture in {knobs.data} has a caption: write it into a .txt of the picture's name")
        sources, shares = [own], [1.0]
        preview = {"preview": captions[:16]}
        identity = {"pictures": own.fingerprint()}
    pieces = Pieces(tokenizer, sources, (knobs.out or Path("runs")) / "cache", identity)
    model.subwords = Subwords.trained(pieces.captions, size=knobs.vocabulary, length=knobs.text_length)
    return CaptionedTask(model, pieces, shares, seed=knobs.seed, **preview)


def task(knobs: Knobs) -> CaptionedTask:
    """How it is trained."""
    return captioned_task(knobs, build(knobs))


RECIPE = Recipe(
    system="mar",
    state="works",
    paper="arXiv:2406.11838",
    knobs=Knobs,
    build=build,
    task=task,
    score=generator_scores,
    claims=(
        Claim(
            text="with equal backbone and budget a diffusion head draws better than a mixture, that than squared error",
            source="arXiv:2406.11838, Section 3.2 and Table 1",
        ),
        Claim(
            text="a diffusion head on VAE latents draws better than a categorical head on VQ codes",
            source="arXiv:2406.11838, Table 1",
        ),
    ),
)
