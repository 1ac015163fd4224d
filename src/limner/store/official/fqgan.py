"""FQGAN as its authors released it: a tokenizer of two or of three sub-codes, and the generator over them.

Bai et al., arXiv:2411.16681, code at github.com/showlab/FQGAN. Files ``fqgan_{dual,triple}_ds{16,8}.pt`` in
ZechenBai/FQGAN; weights of the generators FAR-B and FAR-L were not released::

    tokenizer = limner.load("fqgan_dual_ds16.pt")
    tokenizer.decode(tokenizer.encode(image))

Sub-codes stand in the order in which the decoder reads them: looks, then meaning (of a third, in the middle and high).
What reads meaning from them in training is passed over. Their tables of positions are for images of 256 pixels. Of the
generator, the last row of the table of classes is a parameter of its own in ours, and the first position of the head
is turned by a table of zeros, as in LlamaGen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from limner.decode.decoder import Decoder
from limner.decode.schedules import constant
from limner.generators.backbones.llama import LlamaTransformer
from limner.generators.conditions import ClassCondition
from limner.generators.generator import Generator
from limner.generators.heads.factorized import FactorizedHead
from limner.generators.heads.head import SamplingOptions
from limner.generators.orders import Raster
from limner.nn.norms import gated_hidden
from limner.store.described import heads_of
from limner.store.official import llamagen
from limner.store.official.titok import TRUNK_NAMES
from limner.store.release import Draws, Names, Release, State, depth_of
from limner.tokenizers.factorized import BranchSizes, CodeBranch, FactorizedEncoder
from limner.tokenizers.kl import GROUPS, KlDecoder, KlTrunk
from limner.tokenizers.quantizers.factorized import FactorizedQuantizer
from limner.tokenizers.quantizers.learned import LearnedCodebook
from limner.tokenizers.tokenizer import Codec, cells
from limner.types import Layout

PARTS = (("visual_head", "vis"), ("semantic_head", "sem"))
THREE = (("visual_head", "vis"), ("semantic_head_mid", "sem_mid"), ("semantic_head_high", "sem_high"))


@dataclass(frozen=True, kw_only=True)
class FqganSizes:
    """How large a tokenizer is: ``codes`` per token, each of ``entries`` rows of ``channels``; ``width`` of the finest
    level, times ``multipliers``; ``hidden`` channels between bottleneck and halves; ``branch``: of each transformer."""

    codes: int
    branch: BranchSizes
    multipliers: tuple[int, ...]
    size: int = 256
    width: int = 128
    hidden: int = 256
    entries: int = 16384
    channels: int = 8
    groups: int = GROUPS
    entropy: float = 0.03
    disentangle: float = 0.1
    commitment: float = 0.25


def fqgan(codes: int, multipliers: tuple[int, ...]) -> FqganSizes:
    """A released tokenizer."""
    side = 256 // 2 ** (len(multipliers) - 1)
    return FqganSizes(codes=codes, branch=BranchSizes(512, 6, 8, side**2), multipliers=multipliers)


DUAL_16, TRIPLE_16 = (fqgan(codes, (1, 1, 2, 2, 4)) for codes in (2, 3))
DUAL_8, TRIPLE_8 = (fqgan(codes, (1, 2, 2, 4)) for codes in (2, 3))


def official_tokenizer(sizes: FqganSizes) -> Codec:
    """A tokenizer of these sizes, freshly initialised."""
    widths, attention = [sizes.width * factor for factor in sizes.multipliers], (len(sizes.multipliers) - 1,)
    books = [
        LearnedCodebook(
            sizes.entries, sizes.channels, commitment=sizes.commitment, normalize=True, entropy=sizes.entropy
        )
        for _ in range(sizes.codes)
    ]
    quantizer = FactorizedQuantizer(books, disentangle=sizes.disentangle)
    branches = [CodeBranch(sizes.branch, sizes.channels, sizes.hidden, sizes.groups) for _ in range(sizes.codes)]
    encoder = FactorizedEncoder(KlTrunk(sizes.width, widths, 2, attention, sizes.groups), branches)
    decoder = KlDecoder(widths, 2, quantizer.channels, attention, hidden=sizes.hidden, groups=sizes.groups)
    layout = cells(sizes.size, 2 ** (len(widths) - 1))
    return Codec(encoder, quantizer, decoder, size=sizes.size, layout=layout)


def tokenizer_sizes_of(state: State) -> FqganSizes:
    """The sizes of a tokenizer's state dict."""
    of_grid = llamagen.tokenizer_sizes_of(
        {**state, "quantize.embedding.weight": state["quantize_vis.embedding.weight"]}
    )
    length, width = state["encoder.visual_head.0.positional_embedding"].shape
    depth = depth_of(state, "encoder.visual_head.0.transformer")
    return FqganSizes(
        codes=2 if "quantize_sem.embedding.weight" in state else 3,
        branch=BranchSizes(width, depth, BranchSizes(512, 6, 8, 0).heads, length),
        multipliers=of_grid.multipliers,
        size=math.isqrt(length) * 2 ** (len(of_grid.multipliers) - 1),
        width=of_grid.width,
        hidden=of_grid.hidden,
        entries=of_grid.entries,
        channels=of_grid.channels,
    )


def tokenizer_names(parts: tuple[tuple[str, str], ...]) -> Names:
    """Our names and theirs, for sub-codes of these names of branches and of the rest."""
    named = [
        pair
        for index, (branch, short) in enumerate(parts)
        for pair in (
            (rf"^encoder\.branches\.{index}\.norm\b", f"encoder.norm_out_{short}"),
            (rf"^encoder\.branches\.{index}\.last\b", f"encoder.conv_out_{short}"),
            (rf"^encoder\.branches\.{index}\.code\b", f"quant_conv_{short}"),
            (rf"^encoder\.branches\.{index}\.", f"encoder.{branch}.0."),
            (rf"^quantizer\.codebooks\.{index}\.codebook$", f"quantize_{short}.embedding.weight"),
        )
    ]
    return ((r"^encoder\.trunk\.", "encoder."), *TRUNK_NAMES, *named, *llamagen.TOKENIZER_NAMES)


# Of what reads meaning in training: our `MeaningReader`, and what is trained beside the tokenizer.
READER_NAMES: Names = (
    (r"^widen\.", "upscale."),
    (r"^summary$", "class_embedding"),
    *((r"^" + ours.removeprefix(r"\."), theirs.removeprefix(".")) for ours, theirs in TRUNK_NAMES),
)
BESIDE = r"^(feat_pred_head|mid_sem_feat_pred|high_sem_feat_pred)\.|\.codebook_used$"


@dataclass(frozen=True, kw_only=True)
class FarSizes:
    """How large a generator is: ``depth`` blocks, then ``head_depth`` over the ``codes`` of one token."""

    width: int
    depth: int
    head_depth: int
    heads: int
    codes: int
    hidden: int | None = None
    side: int = 16
    entries: int = 16384
    classes: int = 1000
    drop: float = 0.1
    dropout: float = 0.1


FAR_B = FarSizes(width=1024, depth=24, head_depth=3, heads=16, codes=2)  # 417 M parameters
FAR_L = FarSizes(width=1280, depth=36, head_depth=4, heads=20, codes=2)  # 901 M
FAR_HEADS = {1024: 16, 1280: 20}  # by width, which shapes do not tell
OF_CODES = SamplingOptions(guidance=2.0)


def official_generator(sizes: FarSizes) -> Generator:
    """A generator of these sizes, freshly initialised."""
    width, hidden, side = sizes.width, sizes.hidden or gated_hidden(sizes.width), sizes.side
    backbone = LlamaTransformer(
        grid=(side, side),
        prefix=1,
        width=width,
        depth=sizes.depth,
        heads=sizes.heads,
        hidden=hidden,
        dropout=sizes.dropout,
        normed=False,
    )
    head = FactorizedHead(
        (sizes.entries,) * sizes.codes,
        width,
        depth=sizes.head_depth,
        heads=sizes.heads,
        hidden=hidden,
        columns=side,
        dropout=sizes.dropout,
    )
    condition = ClassCondition(sizes.classes, width, 1)
    return Generator(
        layout=Layout(((side, side),)),
        order=Raster(),
        backbone=backbone,
        head=head,
        condition=condition,
        drop=sizes.drop,
    )


def generator_sizes_of(state: State) -> FarSizes:
    """The sizes of a prepared state dict; heads as `heads_of` has them."""
    entries, width = state["tok_embeddings_1.weight"].shape
    return FarSizes(
        width=width,
        depth=depth_of(state, "layers"),
        head_depth=depth_of(state, "ar_head"),
        heads=heads_of(state, width, FAR_HEADS),
        codes=3 if "tok_embeddings_3.weight" in state else 2,
        hidden=len(state["layers.0.feed_forward.w1.weight"]),
        side=math.isqrt(len(state["freqs_cis"]) - 1) if "freqs_cis" in state else 16,
        entries=entries,
        classes=len(state["cls_embedding.classes"]),
    )


def official_decoder(generator: Generator) -> Decoder:
    """How the authors' evaluation draws."""
    return Decoder(generator, OF_CODES, guidance=constant)


def far_names(codes: int) -> Names:
    """Our names and theirs, for tokens of so many sub-codes."""
    numbered = [
        pair
        for index in range(codes)
        for pair in (
            (rf"^head\.embed\.tables\.{index}\.", f"tok_embeddings_{index + 1}."),
            (rf"^head\.outputs\.{index}\.", f"output_{index + 1}."),
        )
    ]
    return (
        *numbered,
        (r"^head\.embed\.join\.", "aggregation_layer."),
        (r"^head\.blocks\.", "ar_head."),
        (r"^head\.norm\.", "norm."),
        *llamagen.GENERATOR_NAMES,
    )


def _tokenizer_release(parts: tuple[tuple[str, str], ...]) -> Release:
    _, last = parts[-1]
    return Release(
        system="fqgan",
        kind=f"tokenizer of {len(parts)} codes",
        signature=("encoder.visual_head.0.positional_embedding", "quant_conv_vis.weight", f"quant_conv_{last}.weight"),
        build=lambda state: official_tokenizer(tokenizer_sizes_of(state)),
        names=tokenizer_names(parts),
        skip=BESIDE,
        prepare=llamagen.counted_from_finest,
    )


def _generator_release(codes: int) -> Release:
    signature = ("tok_embeddings_1.weight", "aggregation_layer.weight", "ar_head.0.ffn_norm.weight")
    more = tuple(f"output_{index + 1}.weight" for index in range(codes))
    return Release(
        system="fqgan",
        kind=f"generator of {codes} codes",
        signature=(*signature, *more),
        build=lambda state: official_generator(generator_sizes_of(state)),
        names=far_names(codes),
        skip=llamagen.TABLES,
        prepare=llamagen.prepared,
        draws=Draws(("fqgan",), lambda state: official_decoder, side=lambda generator: None),
    )


RELEASES = (*map(_tokenizer_release, (PARTS, THREE)), *map(_generator_release, (2, 3)))
