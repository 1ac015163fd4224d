"""LlamaGen as its authors released it: their sizes, and the way from the names of their weights to ours.

Sun et al., arXiv:2406.06525, code at github.com/FoundationVision/LlamaGen. Files ``vq_ds16_c2i.pt``, ``vq_ds8_c2i.pt``
and ``c2i_{B,L,XL,XXL,3B}_{256,384}.pt`` in FoundationVision/LlamaGen, ``t2i_XL_stage{1_256,2_512}.pt`` in
peizesun/llamagen_t2i::

    model = limner.load("c2i_L_384.pt", side=24, tokenizer="vq_ds16_c2i.pt")
    model.draw(classes=[207], n=4, seed=0)

The last row of their table of classes, which stands for none, is a parameter of its own in ours, and the decoder's
levels count from the finest; all else differs in names. Weights do not tell the grid: its width does, see `SIDES`, or
whoever loads them.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace

from torch import Tensor, nn

from limner.decode.decoder import Decoder
from limner.decode.schedules import constant
from limner.errors import CheckpointError
from limner.generators.backbones.llama import LlamaTransformer
from limner.generators.conditions import CaptionFeatures, ClassCondition
from limner.generators.generator import Generator
from limner.generators.heads.categorical import LinearCategoricalHead
from limner.generators.heads.head import SamplingOptions
from limner.generators.orders import Raster
from limner.nn.norms import gated_hidden
from limner.store.described import heads_of
from limner.store.official.mar import CONVOLUTIONAL_NAMES
from limner.store.release import Draws, Names, Release, State, depth_of
from limner.tokenizers.quantizers.learned import LearnedCodebook
from limner.tokenizers.vqgan import Vqgan
from limner.types import Layout, Size


@dataclass(frozen=True, kw_only=True)
class LlamaGenSizes:
    """How large a LlamaGen is; the defaults are those of all released models of classes at 256 pixels.

    ``side`` tokens of a codebook of ``entries`` in each direction. With ``words``, it draws from that many features of
    ``features`` channels of a caption, else from one of ``classes``.
    """

    width: int
    depth: int
    heads: int
    hidden: int | None = None
    side: int = 16
    entries: int = 16384
    classes: int = 1000
    words: int = 0
    features: int = 2048
    drop: float = 0.1
    dropout: float = 0.1


LLAMAGEN_B = LlamaGenSizes(width=768, depth=12, heads=12)  # 111 M parameters
LLAMAGEN_L = LlamaGenSizes(width=1024, depth=24, heads=16)  # 343 M
LLAMAGEN_XL = LlamaGenSizes(width=1280, depth=36, heads=20, side=24)  # 775 M
LLAMAGEN_XXL = LlamaGenSizes(width=1536, depth=48, heads=24, side=24)  # 1.4 B
LLAMAGEN_XXXL = LlamaGenSizes(width=2560, depth=48, heads=40, side=24)  # 3.9 B, not released
LLAMAGEN_1B = LlamaGenSizes(width=2048, depth=22, heads=32, side=24)  # 1.2 B, not released
LLAMAGEN_3B = LlamaGenSizes(width=3200, depth=24, heads=32, side=24)  # 3.1 B
LLAMAGEN_7B = LlamaGenSizes(width=4096, depth=32, heads=32, side=24)  # 6.6 B, not released
LLAMAGEN_XL_CAPTIONS = LlamaGenSizes(width=1280, depth=36, heads=20, words=120)  # 256 pixels; 32 tokens a side at 512

SIDES = {768: 16, 1024: 16, 1280: 24, 1536: 24, 2048: 24, 2560: 24, 3200: 24, 4096: 24}
"""Tokens per side by width, where classes are drawn: the smaller two were released for 256 pixels and for 384."""
HEADS = {768: 12, 1024: 16, 1280: 20, 1536: 24, 2048: 32, 2560: 40, 3200: 32, 4096: 32}

# The official samplers' defaults, to go with constant guidance.
OF_CLASSES = SamplingOptions(guidance=4.0, top_k=2000)
OF_CAPTIONS = SamplingOptions(guidance=7.5, top_k=1000)


def condition(sizes: LlamaGenSizes) -> ClassCondition | CaptionFeatures:
    """What pictures are drawn from."""
    if sizes.words:
        return CaptionFeatures(sizes.features, sizes.width, count=sizes.words)
    return ClassCondition(sizes.classes, sizes.width, 1)


def official_generator(sizes: LlamaGenSizes) -> Generator:
    """A LlamaGen of these sizes, freshly initialised: all ids are equally likely."""
    head = LinearCategoricalHead(sizes.entries, sizes.width, bias=False)
    nn.init.zeros_(head.output.weight)
    backbone = LlamaTransformer(
        grid=(sizes.side, sizes.side),
        prefix=sizes.words or 1,
        width=sizes.width,
        depth=sizes.depth,
        heads=sizes.heads,
        hidden=sizes.hidden or gated_hidden(sizes.width),
        dropout=sizes.dropout,
    )
    return Generator(
        layout=Layout(((sizes.side, sizes.side),)),
        order=Raster(),
        backbone=backbone,
        head=head,
        condition=condition(sizes),
        drop=sizes.drop,
    )


def official_decoder(generator: Generator) -> Decoder:
    """How the authors' sampler draws classes."""
    return Decoder(generator, OF_CLASSES, guidance=constant)


def prepared(state: State) -> dict[str, Tensor]:
    """The official state dict with what stands for no condition as a tensor of its own."""
    table, features = "cls_embedding.embedding_table.weight", "cls_embedding.uncond_embedding"
    rest = {key: value for key, value in state.items() if key not in (table, features)}
    if features in state:
        return rest | {"cls_embedding.nothing": state[features]}
    if table in state:
        return rest | {"cls_embedding.classes": state[table][:-1], "cls_embedding.nothing": state[table][-1:]}
    raise CheckpointError(f"the state has neither {table} nor {features}: give the weights of a whole LlamaGen")


def sizes_of(state: State) -> LlamaGenSizes:
    """The sizes of a prepared state dict, with heads as `heads_of` has them."""
    entries, width = state["tok_embeddings.weight"].shape
    projection = "cls_embedding.cap_proj.fc1.weight"
    captioned = projection in state
    return LlamaGenSizes(
        width=width,
        depth=depth_of(state, "layers"),
        heads=heads_of(state, width, HEADS),
        hidden=len(state["layers.0.feed_forward.w1.weight"]),
        side=_side(state, 16 if captioned else SIDES.get(width, 16)),
        entries=entries,
        classes=0 if captioned else len(state["cls_embedding.classes"]),
        words=len(state["cls_embedding.nothing"]) if captioned else 0,
        features=state[projection].shape[1] if captioned else 0,
    )


def _side(state: State, published: int) -> int:
    """Tokens on a side: by the rotary table, a row per token after those of the condition, or else as published."""
    if "freqs_cis" not in state:
        return published
    captioned = "cls_embedding.cap_proj.fc1.weight" in state
    return math.isqrt(len(state["freqs_cis"]) - (len(state["cls_embedding.nothing"]) if captioned else 1))


@dataclass(frozen=True, kw_only=True)
class LlamaGenTokenizerSizes:
    """How large a tokenizer is; ``size`` in pixels is free."""

    multipliers: tuple[int, ...]
    size: Size = 256
    width: int = 128
    hidden: int = 256
    entries: int = 16384
    channels: int = 8


VQ_16 = LlamaGenTokenizerSizes(multipliers=(1, 1, 2, 2, 4))
VQ_8 = LlamaGenTokenizerSizes(multipliers=(1, 2, 2, 4))


def official_tokenizer(sizes: LlamaGenTokenizerSizes = VQ_16) -> Vqgan:
    """The tokenizer of these sizes, freshly initialised."""
    return Vqgan(
        LearnedCodebook(sizes.entries, sizes.channels, normalize=True),
        size=sizes.size,
        width=sizes.width,
        multipliers=sizes.multipliers,
        hidden=sizes.hidden,
        attention=(len(sizes.multipliers) - 1,),
    )


def counted_from_finest(state: State) -> dict[str, Tensor]:
    """The official state dict with the decoder's levels in reverse."""
    last = depth_of(state, "decoder.conv_blocks") - 1
    level = re.compile(r"(?<=^decoder\.conv_blocks\.)\d+")
    return {level.sub(lambda found: str(last - int(found[0])), key): value for key, value in state.items()}


def tokenizer_sizes_of(state: State) -> LlamaGenTokenizerSizes:
    """The sizes of a tokenizer's state dict, for pictures of 256 pixels."""
    width = len(state["encoder.conv_in.weight"])
    blocks = range(depth_of(state, "encoder.conv_blocks"))
    (entries, channels), hidden = state["quantize.embedding.weight"].shape, len(state["post_quant_conv.weight"])
    return LlamaGenTokenizerSizes(
        multipliers=tuple(len(state[f"encoder.conv_blocks.{i}.res.0.conv2.weight"]) // width for i in blocks),
        width=width,
        hidden=hidden,
        entries=entries,
        channels=channels,
    )


def at_side(sizes: LlamaGenTokenizerSizes, side: int) -> LlamaGenTokenizerSizes:
    """The same for pictures of so many tokens on a side."""
    return replace(sizes, size=side * 2 ** (len(sizes.multipliers) - 1))


# Our name (a pattern of its beginning or end) and that in a prepared state; all that fit are applied in turn.
GENERATOR_NAMES: Names = (
    (r"^condition\.embedding\.weight$", "cls_embedding.classes"),
    (r"^condition\.nothing$", "cls_embedding.nothing"),
    (r"^condition\.", "cls_embedding.cap_proj."),
    (r"^head\.embed\b", "tok_embeddings"),
    (r"^head\.output\b", "output"),
    (r"^backbone\.blocks\.", "layers."),
    (r"\.norm1\.", ".attention_norm."),
    (r"\.attn\.qkv\.", ".attention.wqkv."),
    (r"\.attn\.proj\.", ".attention.wo."),
    (r"\.norm2\.", ".ffn_norm."),
    (r"\.mlp\.gate\.", ".feed_forward.w1."),
    (r"\.mlp\.value\.", ".feed_forward.w3."),
    (r"\.mlp\.output\.", ".feed_forward.w2."),
    (r"^backbone\.", ""),
)
TOKENIZER_NAMES: Names = (
    (r"^quantizer\.codebook$", "quantize.embedding.weight"),
    (r"^encoder\.levels\.(\d+)\.resize\b", r"encoder.conv_blocks.\1.downsample"),
    (r"^decoder\.levels\.(\d+)\.resize\b", r"decoder.conv_blocks.\1.upsample"),
    (r"\.levels\.", ".conv_blocks."),
    (r"\.blocks\.", ".res."),
    (r"\.attentions\.", ".attn."),
    (r"\.middle\.", ".mid."),
    *CONVOLUTIONAL_NAMES,
)
TABLES = r"^freqs_cis$"
METER = r"^quantize\.codebook_used$"

RELEASES: tuple[Release, ...] = (
    Release(
        system="llamagen",
        kind="generator",
        signature=(
            "cls_embedding.*",
            "tok_embeddings.weight",
            "layers.0.attention.wqkv.weight",
            "layers.0.feed_forward.w3.weight",
            "output.weight",
        ),
        build=lambda state: official_generator(sizes_of(state)),
        names=GENERATOR_NAMES,
        skip=TABLES,
        prepare=prepared,
        sided=lambda state, side: official_generator(replace(sizes_of(state), side=side)),
        draws=Draws(("llamagen",), lambda state: official_decoder),
    ),
    Release(
        system="llamagen",
        kind="tokenizer",
        signature=(
            "encoder.conv_blocks.0.res.0.conv1.weight",
            "decoder.conv_blocks.0.res.0.conv1.weight",
            "quantize.embedding.weight",
            "quant_conv.weight",
            "post_quant_conv.weight",
        ),
        build=lambda state: official_tokenizer(tokenizer_sizes_of(state)),
        names=TOKENIZER_NAMES,
        skip=METER,
        prepare=counted_from_finest,
        sided=lambda state, side: official_tokenizer(at_side(tokenizer_sizes_of(state), side)),
    ),
)
