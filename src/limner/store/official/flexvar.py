"""FlexVAR as its authors released it: sizes, how they draw, and the way from the names of their weights to ours.

Jiao et al., arXiv:2502.20313, code and weights at github.com/jiaosiyu1999/FlexVAR. The tokenizer is LlamaGen's with
8912 codes of 32 numbers, by which number it is recognised::

    model = limner.load("FlexVARd16-epo179.pth", tokenizer="FlexVAE.pth")
    model.draw(classes=[207], n=4, seed=0, steps=13)

Any number of steps to 16 draws; 10 are usual. The mask in the files is computed here, as is what VAR's files hold.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from limner.decode.decoder import Decoder
from limner.decode.schedules import Moment
from limner.errors import InputError
from limner.generators.any_scales import AnyScales
from limner.generators.backbones.any_scales import AnyScaleTransformer
from limner.generators.conditions import ClassCondition
from limner.generators.embeddings import ScaleEmbedding, rows
from limner.generators.generator import Generator
from limner.generators.heads.codes import CodeHead
from limner.generators.heads.head import SamplingOptions
from limner.store.official import llamagen, var
from limner.store.official.llamagen import LlamaGenTokenizerSizes
from limner.store.release import Draws, Names, Release, State, depth_of
from limner.tokenizers.free_scales import FreeScaleQuantizer, FreeScaleTokenizer, all_sides
from limner.tokenizers.quantizers.quantizer import Discrete
from limner.tokenizers.tokenizer import QuantizingTokenizer
from limner.tokenizers.vqgan import Vqgan
from limner.types import Layout

ENTRIES = 8912  # not 8192
LEARNED = (
    1,
    2,
    3,
    4,
    5,
    6,
    8,
    10,
    13,
    16,
    23,
    24,
    32,
)  # sides at which the authors draw codes; at others the likeliest


@dataclass(frozen=True, kw_only=True)
class FlexVarSizes:
    """How large a generator is; ``side`` of its finest grid, and ``fixed``: the sides that training takes, None for
    other ones in every batch."""

    width: int
    depth: int
    heads: int
    side: int = 16
    fixed: tuple[int, ...] | None = None
    entries: int = ENTRIES
    channels: int = 32
    classes: int = 1000
    drop: float = 0.1
    drop_path: float = 0.0


def released(depth: int) -> FlexVarSizes:
    """A released size: 64 channels and one head per block."""
    return FlexVarSizes(width=64 * depth, depth=depth, heads=depth, drop_path=0.1 * depth / 24)


FLEXVAR_D16, FLEXVAR_D20, FLEXVAR_D24 = (released(depth) for depth in (16, 20, 24))  # 316 M, 607 M, 1.0 B parameters
FLEXVAE = LlamaGenTokenizerSizes(multipliers=(1, 1, 2, 2, 4), entries=ENTRIES, channels=32)


def official_tokenizer(sizes: LlamaGenTokenizerSizes = FLEXVAE, layout: Layout | None = None) -> FreeScaleTokenizer:
    """The tokenizer of these sizes, freshly initialised; ``layout``: its grids, all up to its finest unless given."""
    whole: Vqgan = llamagen.official_tokenizer(sizes)
    side, codebook = whole.layout.grids[0][0], whole.quantizer
    assert isinstance(codebook, Discrete)
    return FreeScaleTokenizer(whole.encoder, codebook, whole.decoder, size=sizes.size, layout=layout or all_sides(side))


def official_generator(sizes: FlexVarSizes, quantizer: FreeScaleQuantizer | None = None) -> Generator:
    """A FlexVAR of these sizes, freshly initialised; ``quantizer``: that of its tokenizer, if it is at hand."""
    layout = all_sides(sizes.side)
    return Generator(
        layout=layout,
        order=AnyScales(sizes.fixed),
        backbone=AnyScaleTransformer(
            count=layout.length,
            width=sizes.width,
            depth=sizes.depth,
            heads=sizes.heads,
            drop_path=sizes.drop_path,
        ),
        head=CodeHead(sizes.entries, sizes.width),
        condition=ClassCondition(sizes.classes, sizes.width, 1),
        embed=ScaleEmbedding(sizes.channels, sizes.width, quantizer, rows),
        drop=sizes.drop,
    )


@dataclass(frozen=True)
class GrowingGuidance:
    """``1 + (g - 1) * (s - 1) / min(S - 1, 9)`` in step s of S, beyond g where there are more than ten; g at grids
    finer than ``most`` tokens on a side."""

    most: int = 16

    def __call__(self, strength: float, moment: Moment) -> float:
        share = (moment.step - 1) / max(min(moment.total - 1, 9), 1)
        return 1.0 + (strength - 1.0) * (1.0 if side_of(moment) > self.most else share)


@dataclass(frozen=True)
class GreedyBeyond:
    """The temperature at grids of `LEARNED` sides up to ``most``, 0 at others: the likeliest code is taken there."""

    most: int = 16

    def __call__(self, strength: float, moment: Moment) -> float:
        side = side_of(moment)
        return strength if side <= self.most and side in LEARNED else 0.0


def side_of(moment: Moment) -> int:
    """Tokens on a side of the grid that is drawn."""
    return math.isqrt(moment.after - moment.before)


def official_decoder(generator: Generator) -> Decoder:
    """How the authors draw for scores: guidance from none to ``1 + 2.5``, of the 900 likeliest codes the upper 95 %."""
    options = SamplingOptions(guidance=3.5, top_k=900, top_p=0.95)
    return Decoder(generator, options, guidance=GrowingGuidance(), temperature=GreedyBeyond())


def generator_sizes(state: State) -> FlexVarSizes:
    """The sizes of a prepared generator, for 256 pixels."""
    width, channels = state["word_embed.weight"].shape
    return FlexVarSizes(
        width=width,
        depth=depth_of(state, "blocks"),
        heads=state["blocks.0.attn.scale_mul_1H11"].shape[1],
        entries=len(state["head.bias"]),
        channels=channels,
        classes=len(state["class_emb.classes"]),
    )


def tokenizer_at(state: State, side: int) -> FreeScaleTokenizer:
    """A tokenizer of this state for images of so many tokens on a side."""
    return official_tokenizer(llamagen.at_side(llamagen.tokenizer_sizes_of(state), side))


def finest(generator: Generator) -> int:
    """Codes on a side of a generator's finest grid."""
    return generator.layout.grids[-1][0]


def attach(generator: Generator, tokenizer: QuantizingTokenizer) -> None:
    """Let the generator read by the codes of its tokenizer; raises `InputError` if that knows one grid alone."""
    if not isinstance(tokenizer.quantizer, FreeScaleQuantizer):
        raise InputError("a FlexVAR reads by a tokenizer of any grid: give FlexVAE.pth")
    assert isinstance(generator.embed, ScaleEmbedding)
    generator.embed.attach(tokenizer.quantizer)


TOKENIZER_NAMES: Names = (
    (r"^quantizer\.whole\.", "quantizer."),
    (r"^decoder\.decoder\.", "decoder."),
    *llamagen.TOKENIZER_NAMES,
)
GENERATOR_NAMES: Names = var.GENERATOR_NAMES
_llamagen = llamagen.RELEASES[1]
RELEASES = (
    replace(
        _llamagen,
        system="flexvar",
        signature=(*_llamagen.signature, f"quantize.embedding.weight[{ENTRIES}]"),
        build=lambda state: official_tokenizer(llamagen.tokenizer_sizes_of(state)),
        names=TOKENIZER_NAMES,
        sided=tokenizer_at,
    ),
    Release(
        system="flexvar",
        kind="generator",
        signature=("pos_start", "pos_1LC", "attn_bias_for_masking", "word_embed.weight", "head_nm.ada_lin.1.weight"),
        build=lambda state: official_generator(generator_sizes(state)),
        names=GENERATOR_NAMES,
        skip=var.GENERATOR_SKIP,
        prepare=var.prepared_generator,
        sided=lambda state, side: official_generator(replace(generator_sizes(state), side=side)),
        draws=Draws(("flexvar",), lambda state: official_decoder, side=finest, attach=attach),
    ),
)
