"""MaskGIT over TiTok's tokens as its authors released it: sizes, ways to draw, and the way from its names to ours.

Chang et al., arXiv:2202.04200; Yu et al., TiTok, arXiv:2406.07550, Section 3.3; code and weights at
github.com/bytedance/1d-tokenizer. Two backbones: a BERT (``ImageBert``, for 32 and 64 tokens) and a U-ViT
(``UViTBert``, for 128)::

    model = limner.load("generator_titok_l32.bin", tokenizer="tokenizer_titok_l32.bin")
    model.draw(classes=[207], n=4, seed=0)

The arithmetic is the same. The official table of embeddings holds codes, mask, classes and "no class" in this order;
ours are the head's, the backbone's and the condition's. BERT's queries, keys and values are one matrix here, and its
token type, the same for all tokens, is part of the positions. In training, ours leaves out dropout inside attention.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from limner.decode.decoder import Decoder
from limner.decode.schedules import Schedule, annealed_twice, linear, power_cosine
from limner.decode.step import most_confident
from limner.errors import CheckpointError
from limner.generators.backbones.bert import Bert
from limner.generators.backbones.uvit import UVit
from limner.generators.conditions import ClassCondition
from limner.generators.generator import Generator
from limner.generators.heads.categorical import LinearCategoricalHead
from limner.generators.heads.head import SamplingOptions
from limner.generators.orders import ArccosMasked
from limner.store.described import heads_of
from limner.store.release import Draws, Release, State, depth_of
from limner.types import Layout


@dataclass(frozen=True, kw_only=True)
class MaskGitSizes:
    """How large a generator is: ``count`` tokens out of ``entries``; ``long_skips`` makes the backbone a U-ViT, which
    has one block more than ``depth`` and no dropout. The defaults are those of all released models."""

    width: int
    depth: int
    hidden: int
    count: int
    heads: int = 16
    entries: int = 4096
    classes: int = 1000
    long_skips: bool = False
    drop: float = 0.1
    dropout: float = 0.1
    smoothing: float = 0.1
    known_weight: float = 0.1


TITOK_L32 = MaskGitSizes(width=768, depth=24, hidden=3072, count=32)
TITOK_B64 = MaskGitSizes(width=768, depth=24, hidden=3072, count=64)
TITOK_S128 = MaskGitSizes(width=1024, depth=20, hidden=4096, count=128, long_skips=True)


@dataclass(frozen=True)
class Sampling:
    """How a generator draws. ``guidance`` is ours, where 1 is none: for all but the power-cosine schedule the official
    scale is one less."""

    steps: int
    temperature: float
    guidance: float
    schedule: Schedule


# The files of configs/infer/TiTok, with which the published distances were measured.
L32_SAMPLING = Sampling(8, 9.5, 1 + 4.5, linear)
B64_SAMPLING = Sampling(8, 11.0, 1 + 3.0, linear)
S128_SAMPLING = Sampling(64, 2.8, 6.9, power_cosine(3.0))
ONE_D_PIECE_SAMPLING = Sampling(16, 3.0, 5.5, power_cosine(3.0))  # of the large tokenizer, whose images are the best
SAMPLINGS = {
    32: L32_SAMPLING,
    64: B64_SAMPLING,
    128: S128_SAMPLING,
    256: ONE_D_PIECE_SAMPLING,
}  # by the number of tokens


def official_generator(sizes: MaskGitSizes) -> Generator:
    """A generator of these sizes, freshly initialised."""
    return Generator(
        layout=Layout(((sizes.count,),)),
        order=ArccosMasked(),
        backbone=_backbone(sizes),
        head=LinearCategoricalHead(sizes.entries, sizes.width, smoothing=sizes.smoothing),
        condition=ClassCondition(sizes.classes, sizes.width, count=1),
        drop=sizes.drop,
        known_weight=sizes.known_weight,
    )


def _backbone(sizes: MaskGitSizes) -> Bert | UVit:
    width, depth, heads, hidden = sizes.width, sizes.depth, sizes.heads, sizes.hidden
    if sizes.long_skips:
        return UVit(count=sizes.count, prefix=1, width=width, depth=depth, heads=heads, hidden=hidden)
    dropout = sizes.dropout
    return Bert(count=sizes.count, prefix=1, width=width, depth=depth, heads=heads, hidden=hidden, dropout=dropout)


def official_decoder(generator: Generator, sampling: Sampling) -> Decoder:
    """Draws as the authors did."""
    return Decoder(
        generator,
        SamplingOptions(guidance=sampling.guidance, temperature=sampling.temperature),
        sampling.steps,
        guidance=sampling.schedule,
        temperature=annealed_twice,
        step=most_confident,
    )


def drawing(sizes: MaskGitSizes) -> Callable[[Generator], Decoder]:
    """How the authors draw with a generator of these sizes: by its number of tokens, the nearest that was published."""
    nearest = min(SAMPLINGS, key=lambda count: abs(count - sizes.count))
    return partial(official_decoder, sampling=SAMPLINGS[nearest])


def prepared_bert(state: State) -> State:
    """The official ``ImageBert`` with its table split, its token type added to the positions, and each block's query,
    key and value joined."""
    prepared = _split(state, BERT_TABLE, "model.lm_head.bias", *BERT_POSITIONS)
    position, kind = (prepared.pop(key) for key in BERT_POSITIONS)
    prepared["model.embeddings.position"] = (position + kind[0])[None]
    for key in [key for key in prepared if re.search(r"\.self\.query\.", key)]:
        parts = [key.replace(".query.", f".{part}.") for part in ("query", "key", "value")]
        if all(part in prepared for part in parts):
            prepared[key.replace(".query.", ".qkv.")] = torch.cat([prepared.pop(part) for part in parts])
    return prepared


def prepared_uvit(state: State) -> State:
    """The official ``UViTBert`` with its table split."""
    return _split(state, "embeddings.weight", "lm_head.bias")


def _split(state: State, table: str, bias: str, *others: str) -> dict[str, Tensor]:
    """The state with the table of codes, mask, classes and "no class" in four; ``bias`` has one number per code. Raises
    `CheckpointError` if a key is not there, nor any of ``others``."""
    if missing := [key for key in (table, bias, *others) if key not in state]:
        raise CheckpointError(f"the official state does not fit: it lacks {', '.join(missing)}: give a whole generator")
    prepared = dict(state)
    rows, codes = prepared.pop(table), len(state[bias])
    prepared["codes"], prepared["mask"] = rows[:codes], rows[None, codes : codes + 1]
    prepared["classes"], prepared["no_class"] = rows[codes + 1 : -1], rows[-1:]
    return prepared


BERT_TABLE = "model.embeddings.word_embeddings.weight"
BERT_POSITIONS = ("model.embeddings.position_embeddings.weight", "model.embeddings.token_type_embeddings.weight")
SKIP = r"\.(position|token_type)_ids$"  # counters that older versions of transformers kept

# Our name (a pattern of its beginning or end) and theirs; all that fit are applied, one after the other.
TABLE_NAMES = (
    (r"^head\.embed\.weight$", "codes"),
    (r"^backbone\.mask_token$", "mask"),
    (r"^condition\.embedding\.weight$", "classes"),
    (r"^condition\.nothing$", "no_class"),
)
BERT_NAMES = (
    *TABLE_NAMES,
    (r"^head\.output\b", "model.lm_head"),
    (r"^backbone\.position$", "model.embeddings.position"),
    (r"^backbone\.norm\b", "model.embeddings.LayerNorm"),
    (r"^backbone\.blocks\.", "model.encoder.layer."),
    (r"\.attn\.qkv\b", ".attention.self.qkv"),
    (r"\.attn\.proj\b", ".attention.output.dense"),
    (r"\.norm1\b", ".attention.output.LayerNorm"),
    (r"\.mlp\.fc1\b", ".intermediate.dense"),
    (r"\.mlp\.fc2\b", ".output.dense"),
    (r"\.norm2\b", ".output.LayerNorm"),
)
UVIT_NAMES = (
    *TABLE_NAMES,
    (r"^head\.output\b", "lm_head"),
    (r"^backbone\.position$", "pos_embed"),
    (r"^backbone\.mid_blocks\.0\.", "mid_block."),
    (r"^backbone\.skips\.(\d+)\.", r"out_blocks.\1.skip_linear."),
    (r"^backbone\.", ""),
)


def sizes_of_bert(state: State) -> MaskGitSizes:
    """The sizes of a prepared ``ImageBert``."""
    count = state["model.embeddings.position"].shape[1] - 1
    depth, mlp = depth_of(state, "model.encoder.layer"), "model.encoder.layer.0.intermediate.dense.weight"
    return _sizes(state, count, depth, mlp, long_skips=False)


def sizes_of_uvit(state: State) -> MaskGitSizes:
    """The sizes of a prepared ``UViTBert``."""
    depth = depth_of(state, "in_blocks") + depth_of(state, "out_blocks")
    return _sizes(state, state["pos_embed"].shape[1] - 1, depth, "mid_block.mlp.fc1.weight", long_skips=True)


def _sizes(state: State, count: int, depth: int, mlp: str, *, long_skips: bool) -> MaskGitSizes:
    (entries, width), classes = state["codes"].shape, len(state["classes"])
    return MaskGitSizes(
        width=width,
        depth=depth,
        hidden=len(state[mlp]),
        count=count,
        heads=heads_of(state, width, HEADS),
        entries=entries,
        classes=classes,
        long_skips=long_skips,
    )


HEADS = {768: 16, 1024: 16}  # by width, which shapes do not tell
TOKENIZERS = ("titok", "one-d-piece")

RELEASES: tuple[Release, ...] = (
    Release(
        system="titok",
        kind="generator",
        signature=(
            BERT_TABLE,
            *BERT_POSITIONS,
            "model.encoder.layer.0.intermediate.dense.weight",
            "model.lm_head.bias",
        ),
        build=lambda state: official_generator(sizes_of_bert(state)),
        names=BERT_NAMES,
        skip=SKIP,
        prepare=prepared_bert,
        draws=Draws(TOKENIZERS, lambda state: drawing(sizes_of_bert(state)), side=lambda generator: None),
    ),
    Release(
        system="titok",
        kind="generator",
        signature=("embeddings.weight", "pos_embed", "mid_block.mlp.fc1.weight", "lm_head.bias"),
        build=lambda state: official_generator(sizes_of_uvit(state)),
        names=UVIT_NAMES,
        skip=SKIP,
        prepare=prepared_uvit,
        draws=Draws(TOKENIZERS, lambda state: drawing(sizes_of_uvit(state)), side=lambda generator: None),
    ),
)
