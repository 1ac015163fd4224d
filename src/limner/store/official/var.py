"""VAR as its authors released it: their sizes, how they draw, and the way from the names of their weights to ours.

Tian et al., arXiv:2404.02905, code and weights at github.com/FoundationVision/VAR. The tokenizer has a file of its own,
whose codes the generator reads while it draws::

    model = limner.load("var_d16.pth", tokenizer="vae_ch160v4096z32.pth")
    model.draw(classes=[207], n=4, seed=0)

The arithmetic is the same. Ours keeps the vector of "no class" beside those of the classes, not below them, and the
tokenizer's query, key and value apart; what the official files hold besides, masks, levels and counts of codes, is
computed or left out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from limner.decode.decoder import Decoder
from limner.decode.schedules import with_steps
from limner.errors import CheckpointError, InputError
from limner.generators.backbones.scales import ScaleTransformer
from limner.generators.conditions import ClassCondition
from limner.generators.embeddings import ScaleEmbedding
from limner.generators.generator import Generator
from limner.generators.heads.codes import CodeHead
from limner.generators.heads.head import SamplingOptions
from limner.generators.orders import Scales
from limner.nn.convolution import channels_last
from limner.store.described import sides_of
from limner.store.official.mar import TOKENIZER_NAMES as KL_NAMES
from limner.store.release import Draws, Release, State, depth_of
from limner.tokenizers import kl
from limner.tokenizers.quantizers.multiscale import MultiScaleQuantizer
from limner.tokenizers.scales import ScaleAutoencoder
from limner.tokenizers.tokenizer import QuantizingTokenizer
from limner.types import Layout

SIDES_256 = (1, 2, 3, 4, 5, 6, 8, 10, 13, 16)
SIDES_512 = (1, 2, 3, 4, 6, 9, 13, 18, 24, 32)
PUBLISHED_SIDES = {sides[-1]: sides for sides in (SIDES_256, SIDES_512)}


@dataclass(frozen=True, kw_only=True)
class VarTokenizerSizes:
    """How large the tokenizer is; the defaults are those of the released one.

    Grids of ``sides``, ``entries`` codes of ``channels``, ``phis`` convolutions that the scales share; ``width``
    channels of the finest level times ``multipliers``, and a cell per ``2 ** (levels - 1)`` pixels.
    """

    sides: Sequence[int] = SIDES_256
    entries: int = 4096
    channels: int = 32
    phis: int = 4
    width: int = 160
    multipliers: Sequence[int] = (1, 1, 2, 2, 4)


@dataclass(frozen=True, kw_only=True)
class VarSizes:
    """How large a VAR is; the defaults are those of all released models at 256 pixels."""

    width: int
    depth: int
    heads: int
    shared: bool = False
    sides: Sequence[int] = SIDES_256
    entries: int = 4096
    channels: int = 32
    classes: int = 1000
    drop: float = 0.1
    drop_path: float = 0.0


def released(depth: int, *, shared: bool = False, sides: Sequence[int] = SIDES_256) -> VarSizes:
    """A released size: 64 channels and one head per block (Eq. 8 of the paper)."""
    return VarSizes(width=64 * depth, depth=depth, heads=depth, shared=shared, sides=sides, drop_path=0.1 * depth / 24)


# 310 M, 600 M, 1.0 B and 2.0 B parameters at 256 pixels, 2.3 B at 512 (README of the code).
VAR_D16, VAR_D20, VAR_D24, VAR_D30 = (released(depth) for depth in (16, 20, 24, 30))
VAR_D36 = released(36, shared=True, sides=SIDES_512)


def pyramid(sides: Sequence[int]) -> Layout:
    """Square grids."""
    return Layout(tuple((side, side) for side in sides))


def official_tokenizer(sizes: VarTokenizerSizes = VarTokenizerSizes()) -> ScaleAutoencoder:
    """The multi-scale VQ-VAE, freshly initialised."""
    widths, last = [sizes.width * multiplier for multiplier in sizes.multipliers], len(sizes.multipliers) - 1
    tokenizer = ScaleAutoencoder(
        kl.KlEncoder(sizes.width, widths, 2, sizes.channels, (last,), 3),
        MultiScaleQuantizer(sizes.entries, sizes.channels, pyramid(sizes.sides), phis=sizes.phis),
        kl.KlDecoder(widths, 2, sizes.channels, (last,), 3),
        size=sizes.sides[-1] * 2**last,
    )
    channels_last(tokenizer)
    return tokenizer


def official_generator(sizes: VarSizes, quantizer: MultiScaleQuantizer | None = None) -> Generator:
    """A VAR of these sizes, freshly initialised; ``quantizer``: that of its tokenizer, if it is at hand."""
    layout = pyramid(sizes.sides)
    return Generator(
        layout=layout,
        order=Scales(),
        backbone=ScaleTransformer(
            layout=layout,
            width=sizes.width,
            depth=sizes.depth,
            heads=sizes.heads,
            shared=sizes.shared,
            drop_path=sizes.drop_path,
        ),
        head=CodeHead(sizes.entries, sizes.width),
        condition=ClassCondition(sizes.classes, sizes.width, 1),
        embed=ScaleEmbedding(sizes.channels, sizes.width, quantizer),
        drop=sizes.drop,
    )


def official_decoder(generator: Generator) -> Decoder:
    """How the authors draw for scores: guidance from none to ``1 + 1.5``, of the 900 likeliest codes the upper 96 %."""
    return Decoder(generator, SamplingOptions(guidance=2.5, top_k=900, top_p=0.96), guidance=with_steps)


def prepared_tokenizer(state: State) -> dict[str, Tensor]:
    """The official state dict with query, key and value apart, and phis named alike, however many there are."""
    prepared: dict[str, Tensor] = {}
    for key, value in state.items():
        if ".qkv." in key:
            parts = value.chunk(3)
            prepared |= {key.replace(".qkv.", f".{name}."): part for name, part in zip("qkv", parts, strict=True)}
        else:
            prepared[re.sub(r"quant_resi\.(?:qresi\.|(?:qresi_ls\.)?(\d+)\.)", _phi, key)] = value
    return prepared


def _phi(match: re.Match[str]) -> str:
    return f"quant_resi.qresi_ls.{match[1] or 0}."


def prepared_generator(state: State) -> dict[str, Tensor]:
    """The official state dict with "no class" apart from the classes."""
    if "class_emb.weight" not in state:
        raise CheckpointError("the state lacks class_emb.weight: give the weights of a whole VAR")
    table = state["class_emb.weight"]
    rest = {key: value for key, value in state.items() if key != "class_emb.weight"}
    return rest | {"class_emb.classes": table[:-1], "class_emb.nothing": table[-1:]}


def tokenizer_sizes(state: State, side: int = SIDES_256[-1]) -> VarTokenizerSizes:
    """The sizes of a prepared tokenizer; weights tell the number of scales, not how many codes a side has: ``side`` is
    that of the last one. Raises `CheckpointError` for scales that were never published."""
    scales = len(state["quantize.ema_vocab_hit_SV"])
    sides = sides_of(state, ("v_patch_nums", "patch_nums"), scales) or PUBLISHED_SIDES.get(side, ())
    if scales != len(sides):
        raise CheckpointError(
            f"a tokenizer of {scales} scales was never published for {side} x {side} codes, and its weights do not "
            "tell their sides: put a config.json with their patch_nums beside them"
        )
    width = len(state["encoder.conv_in.weight"])
    levels = range(depth_of(state, "encoder.down"))
    entries, channels = state["quantize.embedding.weight"].shape
    return VarTokenizerSizes(
        sides=sides,
        entries=entries,
        channels=channels,
        phis=depth_of(state, "quantize.quant_resi.qresi_ls"),
        width=width,
        multipliers=tuple(len(state[f"encoder.down.{level}.block.0.conv1.weight"]) // width for level in levels),
    )


def generator_sizes(state: State) -> VarSizes:
    """The sizes of a prepared generator."""
    width, channels = state["word_embed.weight"].shape
    counts = torch.bincount(state["lvl_1L"].flatten().long())
    return VarSizes(
        width=width,
        depth=depth_of(state, "blocks"),
        heads=state["blocks.0.attn.scale_mul_1H11"].shape[1],
        shared="shared_ada_lin.1.weight" in state,
        sides=tuple(round(count**0.5) for count in counts.tolist()),
        entries=len(state["head.bias"]),
        channels=channels,
        classes=len(state["class_emb.classes"]),
    )


def build_generator(state: State) -> nn.Module:
    """The generator of a prepared state dict, without its tokenizer."""
    return official_generator(generator_sizes(state))


def finest(generator: Generator) -> int:
    """Codes on a side of a generator's last scale."""
    assert isinstance(generator.order, Scales)
    return generator.layout.grids[-1][0]


def attach(generator: Generator, tokenizer: QuantizingTokenizer) -> None:
    """Let the generator read by the codes of its tokenizer; raises `InputError` if that has no pyramid."""
    if not isinstance(tokenizer.quantizer, MultiScaleQuantizer):
        raise InputError("a VAR reads by a tokenizer of scales: give vae_ch160v4096z32.pth")
    assert isinstance(generator.embed, ScaleEmbedding)
    generator.embed.attach(tokenizer.quantizer)


# Our name (a pattern of its beginning or end) and that in a prepared state; all that fit are applied in turn.
TOKENIZER_NAMES = (
    *KL_NAMES,
    (r"^quantizer\.codebook$", "quantize.embedding.weight"),
    (r"^quantizer\.phis\.(\d+)\.", r"quantize.quant_resi.qresi_ls.\1."),
)
TOKENIZER_SKIP = r"^quantize\.ema_vocab_hit_SV$"  # how often each code was chosen
GENERATOR_NAMES = (
    (r"^embed\.project\b", "word_embed"),
    (r"^condition\.embedding\.weight$", "class_emb.classes"),
    (r"^condition\.nothing$", "class_emb.nothing"),
    (r"^head\.output\b", "head"),
    (r"^backbone\.start$", "pos_start"),
    (r"^backbone\.position$", "pos_1LC"),
    (r"^backbone\.level$", "lvl_embed.weight"),
    (r"^backbone\.shared\b", "shared_ada_lin.1"),
    (r"^backbone\.modulation\b", "head_nm.ada_lin.1"),
    (r"^backbone\.", ""),
    (r"\.modulation\b", ".ada_lin.1"),
    (r"\.offsets$", ".ada_gss"),
    (r"\.log_tau$", ".scale_mul_1H11"),
    (r"\.qkv\b", ".mat_qkv"),
    (r"\.mlp\.", ".ffn."),
)
GENERATOR_SKIP = r"^lvl_1L$|^attn_bias_for_masking$|\.zero_k_bias$"  # levels, mask, a bias of zeros: all computed

RELEASES = (
    Release(
        system="var",
        kind="tokenizer",
        signature=("quantize.ema_vocab_hit_SV", "quantize.quant_resi.*", "encoder.mid.attn_1.qkv.weight"),
        build=lambda state: official_tokenizer(tokenizer_sizes(state)),
        names=TOKENIZER_NAMES,
        skip=TOKENIZER_SKIP,
        prepare=prepared_tokenizer,
        sided=lambda state, side: official_tokenizer(tokenizer_sizes(state, side)),
    ),
    Release(
        system="var",
        kind="generator",
        signature=(  # FlexVAR has no levels
            *("pos_start", "lvl_1L", "lvl_embed.weight", "word_embed.weight", "head_nm.ada_lin.1.weight"),
            "blocks.0.attn.scale_mul_1H11",
        ),
        build=build_generator,
        names=GENERATOR_NAMES,
        skip=GENERATOR_SKIP,
        prepare=prepared_generator,
        draws=Draws(("var",), lambda state: official_decoder, side=finest, attach=attach),
    ),
)
