"""VAR: an image is drawn scale by scale, all tokens of a scale at once.

Tian et al., arXiv:2404.02905. The tokenizer makes a pyramid of an image, and a transformer predicts each scale from all
coarser ones: the input at a position is what the image so far looks like there. Deviations of the small size: the words
of a caption as a prefix that all scales read, and their mean in place of the class; a temperature that falls with the
scales; Muon.

    limner train var --out runs/var                                  # var-emoji-64: an hour on a CPU core
    limner train var --width 128 --depth 2 --out runs/small          # var-emoji-64-small, in 100,000 images
    limner draw "a red heart" --model var-emoji-64 --show-steps      # coarse to fine
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from limner.decode.decoder import Decoder
from limner.decode.schedules import annealed, constant, with_steps
from limner.errors import InputError
from limner.generators.backbones.scales import ScaleTransformer
from limner.generators.embeddings import ScaleEmbedding
from limner.generators.generator import Generator
from limner.generators.heads.codes import CodeHead
from limner.generators.heads.head import SamplingOptions
from limner.generators.orders import Scales
from limner.models.text_to_image import TextToImage
from limner.recipe import Claim, Recipe
from limner.recipes.generators import family
from limner.tokenizers.quantizers.multiscale import MultiScaleQuantizer
from limner.tokenizers.tokenizer import QuantizingTokenizer

Scaled: TypeAlias = Callable[..., ScaleTransformer]


@dataclass(frozen=True, kw_only=True)
class Knobs(family.Knobs):
    """A transformer over scales."""

    tokenizer: str = "multiscale-64"
    depth: int = 3
    """Blocks of the transformer."""
    text_depth: int = 0
    shared: bool = True
    """Let one layer make the modulation of all blocks, as in the largest of the paper's models: a quarter is saved."""
    top_k: int = 900
    """Likeliest codes that are drawn from; 0 is all."""
    top_p: float = 0.96
    """Of those the likeliest that together have this probability."""
    temperature: float = 1.2
    """Temperature that its drawing begins with."""
    cooled: bool = True
    """Let it fall to 0 at the last scale, which a small model needs; the paper's is 1 at all of them."""
    images: int = 180_000
    batch: int = 32


def build(knobs: Knobs, scales: Scaled = ScaleTransformer) -> TextToImage:
    """A freshly initialised VAR over its tokenizer; raises `InputError` if that makes no pyramids. ``scales``: makes
    the backbone, called as `ScaleTransformer`."""
    tokenizer = family.frozen_tokenizer(knobs.tokenizer, discrete=True)
    quantizer, layout = tokenizer.quantizer, tokenizer.layout
    if not isinstance(quantizer, MultiScaleQuantizer):
        raise InputError(f"{knobs.tokenizer} makes no pyramids: choose one that does, such as multiscale-64")
    width, text = knobs.width, knobs.text_length
    generator = Generator(
        layout=layout,
        order=Scales(),
        backbone=scales(
            layout=layout, width=width, depth=knobs.depth, heads=knobs.heads, prefix=text, shared=knobs.shared
        ),
        head=CodeHead(quantizer.entries, width),
        condition=family.text_condition(knobs),
        embed=ScaleEmbedding(quantizer.channels, width, quantizer),
    )
    return text_to_image(knobs, generator, tokenizer)


def text_to_image(knobs: Knobs, generator: Generator, tokenizer: QuantizingTokenizer) -> TextToImage:
    """The model, with guidance that grows with the scales and, ``cooled``, a temperature that falls."""
    options, cooling = SamplingOptions(top_k=knobs.top_k, top_p=knobs.top_p), annealed if knobs.cooled else constant
    return family.text_to_image(
        knobs,
        generator,
        tokenizer,
        partial(Decoder, options=options, guidance=with_steps, temperature=cooling),
        temperature=knobs.temperature,
    )


RECIPE = Recipe(
    system="var",
    state="works",
    paper="arXiv:2404.02905",
    knobs=Knobs,
    build=build,
    lesson=family.lesson,
    score=family.score,
    tiny={**family.TINY, "text_depth": 1, "depth": 1},
    claims=(
        Claim(
            text="next-scale draws better in 6 passes than next-token in 64, at equal parameters and images",
            source="arXiv:2404.02905, Tables 1 and 3",
        ),
    ),
)
