"""RAR as its authors released it: their sizes, how they draw, and the way from the names of their weights to ours.

Yu et al., arXiv:2411.00776, code and weights at github.com/bytedance/1d-tokenizer; ids are those of the MaskGIT VQGAN::

    model = limner.load("rar_b.bin", tokenizer="maskgit-vqgan-imagenet-f16-256.bin")
    model.draw(classes=[207], n=4, seed=0)

The arithmetic is the same. Their one table of embeddings holds codes, a mask that is never read, classes and "nothing",
which are the head's and the condition's here; their tables of positions and times have 1024 and 100 rows that no token
uses, which are left out. In training, ours leaves out the dropout inside attention and between the two layers of an
MLP.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from torch import Tensor

from limner.decode.decoder import Decoder
from limner.decode.schedules import power_cosine
from limner.errors import CheckpointError
from limner.generators.backbones.rar import AdaptiveCausalTransformer
from limner.generators.conditions import ClassCondition
from limner.generators.generator import Generator
from limner.generators.heads.categorical import LinearCategoricalHead
from limner.generators.heads.head import SamplingOptions
from limner.generators.orders import Permuted
from limner.store.release import Draws, Release, State, depth_of
from limner.types import Layout

SPARE_POSITIONS = 1024  # rows of the official positions beyond the tokens
TABLES = ("embeddings.weight", "pos_embed", "target_aware_pos_embed", "timesteps_embeddings")


@dataclass(frozen=True, kw_only=True)
class RarSizes:
    """How large a RAR is, and how its authors draw with it; the defaults are those of all released models.

    ``count`` tokens of ``entries`` codes in ``classes``; ``guidance`` grows by `power_cosine` of ``power``.
    """

    width: int
    depth: int
    heads: int = 16
    hidden: int
    count: int = 256
    entries: int = 1024
    classes: int = 1000
    drop: float = 0.1
    dropout: float = 0.1
    guidance: float = 1.0
    power: float = 0.0
    temperature: float = 1.0


# 261 M, 461 M, 955 M and 1499 M parameters (Table 1 of the paper); how to draw is in the README of the code.
RAR_BASE = RarSizes(width=768, depth=24, hidden=3072, guidance=16.0, power=2.75)
RAR_LARGE = RarSizes(width=1024, depth=24, hidden=4096, guidance=15.5, power=2.5, temperature=1.02)
RAR_XL = RarSizes(width=1280, depth=32, hidden=5120, guidance=6.9, power=1.5, temperature=1.02)
RAR_XXL = RarSizes(width=1408, depth=40, hidden=6144, guidance=8.0, power=1.2, temperature=1.02)
PUBLISHED = (RAR_BASE, RAR_LARGE, RAR_XL, RAR_XXL)


def official_generator(sizes: RarSizes) -> Generator:
    """A RAR of these sizes, freshly initialised."""
    return Generator(
        layout=Layout(((sizes.count,),)),
        order=Permuted(),
        backbone=AdaptiveCausalTransformer(
            count=sizes.count,
            prefix=1,
            width=sizes.width,
            depth=sizes.depth,
            heads=sizes.heads,
            hidden=sizes.hidden,
            dropout=sizes.dropout,
        ),
        head=LinearCategoricalHead(sizes.entries, sizes.width),
        condition=ClassCondition(sizes.classes, sizes.width, 1),
        drop=sizes.drop,
    )


def official_decoder(generator: Generator, sizes: RarSizes) -> Decoder:
    """How the authors draw: guidance that grows by a power of the cosine, no cut of the tail."""
    options = SamplingOptions(guidance=sizes.guidance, temperature=sizes.temperature)
    return Decoder(generator, options, guidance=power_cosine(sizes.power))


def prepared(state: State) -> dict[str, Tensor]:
    """The official state dict with its tables in our parts, and without the rows that are never read."""
    missing = [key for key in ("lm_head.bias", *TABLES) if key not in state]
    if missing:
        raise CheckpointError(f"the state lacks {', '.join(missing)}: give the weights of a whole RAR")
    rest = {key: value for key, value in state.items() if key not in TABLES}
    table, position, target, time = (state[key] for key in TABLES)
    codes, count = state["lm_head.bias"], position.shape[1] - SPARE_POSITIONS
    if count < 1 or len(table) < len(codes) + 3:
        raise CheckpointError(
            f"the state has tables of {len(table)} codes and {position.shape[1]} positions, too short "
            f"for {len(codes)} codes with classes and {SPARE_POSITIONS} spare positions: download it again"
        )
    return rest | {
        "embeddings.codes": table[: len(codes)],
        "embeddings.classes": table[len(codes) + 1 : -1],
        "embeddings.nothing": table[-1:],
        "pos_embed.prefix": position[:, :2],
        "pos_embed.tokens": position[:, 2 : 2 + count],
        "target_aware_pos_embed": target[:, 2 : 2 + count],
        "timesteps_embeddings": time[:, : 1 + count],
    }


def sizes_of(state: State) -> RarSizes:
    """The sizes of a prepared state dict; how to draw is that of the published model of its width."""
    (entries, width), classes = state["embeddings.codes"].shape, len(state["embeddings.classes"])
    drawing = next((sizes for sizes in PUBLISHED if sizes.width == width), RAR_BASE)
    return replace(
        drawing,
        width=width,
        depth=depth_of(state, "blocks"),
        heads=width // len(state["blocks.0.attn.q_norm.weight"]),
        hidden=len(state["blocks.0.mlp.fc1.bias"]),
        count=state["pos_embed.tokens"].shape[1],
        entries=entries,
        classes=classes,
    )


# Our name (a pattern of its beginning or end) and that in a prepared state; all that fit are applied in turn.
GENERATOR_NAMES = (
    (r"^condition\.embedding\.weight$", "embeddings.classes"),
    (r"^condition\.nothing$", "embeddings.nothing"),
    (r"^head\.embed\.weight$", "embeddings.codes"),
    (r"^head\.output\b", "lm_head"),
    (r"^backbone\.start$", "cls_token"),
    (r"^backbone\.prefix_position$", "pos_embed.prefix"),
    (r"^backbone\.position$", "pos_embed.tokens"),
    (r"^backbone\.target_position$", "target_aware_pos_embed"),
    (r"^backbone\.time$", "timesteps_embeddings"),
    (r"^backbone\.last_modulation\b", "adaln_before_head.adaLN_modulation.1"),
    (r"^backbone\.modulations\.(\d+)\b", r"blocks.\1.adaLN_modulation.1"),
    (r"^backbone\.", ""),
)
RELEASES = (
    Release(
        system="rar",
        kind="generator",
        signature=(
            "target_aware_pos_embed",
            "timesteps_embeddings",
            "blocks.0.attn.q_norm.weight",
            "blocks.0.mlp.fc1.bias",
        ),
        build=lambda state: official_generator(sizes_of(state)),
        names=GENERATOR_NAMES,
        prepare=prepared,
        draws=Draws(("maskgit-vqgan",), lambda state: partial(official_decoder, sizes=sizes_of(state))),
    ),
)
