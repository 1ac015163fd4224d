"""NAR as its authors released it: their sizes, and the way from the names of their weights to ours.

He et al., arXiv:2503.10696, code at github.com/ThisisBillhe/NAR (NAR-images). It draws with LlamaGen's VQ-16, and is a
LlamaGen of one block and one head more::

    model = limner.load("nar_L.pt", tokenizer="vq_ds16_c2i.pt")
    model.draw(classes=[207], n=4, seed=0)

Their head of the token to the right and that of the token below have a matrix each; ours is the two side by side. The
weights of a LlamaGen, which lack the latter, are refused.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from limner.errors import CheckpointError
from limner.generators.backbones.diagonal import DiagonalTransformer
from limner.generators.generator import Generator
from limner.generators.heads.categorical import LinearCategoricalHead
from limner.generators.orders import Diagonals
from limner.nn.norms import gated_hidden
from limner.store.official import llamagen
from limner.store.official.llamagen import TABLES, LlamaGenSizes, condition
from limner.store.release import Draws, Names, Release, State
from limner.types import Layout

# Depth is without the extra block; the number of parameters is with it.
NAR_B = LlamaGenSizes(width=768, depth=12, heads=12)  # 131 M
NAR_M = LlamaGenSizes(width=1024, depth=18, heads=16)  # 296 M
NAR_L = LlamaGenSizes(width=1024, depth=24, heads=16)  # 373 M
NAR_XL = LlamaGenSizes(width=1280, depth=36, heads=20)  # 816 M
NAR_XXL = LlamaGenSizes(width=1536, depth=48, heads=24)  # 1.5 B
NAR_XL_CAPTIONS = LlamaGenSizes(width=1280, depth=36, heads=20, words=120)  # 819 M


def official_generator(sizes: LlamaGenSizes) -> Generator:
    """A NAR of these sizes, freshly initialised: the head of the token to the right finds all ids equally likely."""
    head = LinearCategoricalHead(sizes.entries, sizes.width, context=2 * sizes.width, bias=False)
    nn.init.zeros_(head.output.weight[:, : sizes.width])
    backbone = DiagonalTransformer(
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
        order=Diagonals(),
        backbone=backbone,
        head=head,
        condition=condition(sizes),
        drop=sizes.drop,
    )


def prepared(state: State) -> dict[str, Tensor]:
    """The official state dict with the two heads' matrices as one; raises `CheckpointError` for those of a LlamaGen."""
    right, below = "output.weight", "medusa_output.weight"
    missing = [key for key in (right, below, "medusa_norm.weight") if key not in state]
    if missing:
        raise CheckpointError(f"the state lacks {', '.join(missing)}, as a LlamaGen's does: give the weights of a NAR")
    rest = {key: value for key, value in state.items() if key not in (right, below)}
    return llamagen.prepared(rest) | {"outputs": torch.cat([state[right], state[below]], dim=1)}


def sizes_of(state: State) -> LlamaGenSizes:
    """The sizes of a prepared state dict, for 16 x 16 tokens where weights do not tell."""
    sizes = llamagen.sizes_of(state)
    return replace(sizes, depth=sizes.depth - 1, side=sizes.side if "freqs_cis" in state else 16)


# Our name (a pattern of its beginning or end) and that in a prepared state; all that fit are applied in turn.
GENERATOR_NAMES: Names = (
    (r"^backbone\.below_norm\b", "medusa_norm"),
    (r"^head\.output\.weight$", "outputs"),
    *llamagen.GENERATOR_NAMES,
)

RELEASES: tuple[Release, ...] = (
    Release(
        system="nar",
        kind="generator",
        signature=(
            "cls_embedding.*",
            "tok_embeddings.weight",
            "layers.0.attention.wqkv.weight",
            "output.weight",
            "medusa_norm.weight",
            "medusa_output.weight",
        ),
        build=lambda state: official_generator(sizes_of(state)),
        names=GENERATOR_NAMES,
        skip=TABLES,
        prepare=prepared,
        sided=lambda state, side: official_generator(replace(sizes_of(state), side=side)),
        draws=Draws(("llamagen",), lambda state: llamagen.official_decoder),
    ),
)
