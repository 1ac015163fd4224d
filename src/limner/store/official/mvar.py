"""M-VAR as its authors released it: VAR's files, with a recurrence in every block (arXiv:2411.10433).

Weights at huggingface.co/OliverRen/M-VAR, code at github.com/OliverRensu/MVAR; the tokenizer is VAR's::

    model = limner.load("d16.pth", tokenizer="vae_ch160v4096z32.pth")
    model.draw(classes=[207], n=4, seed=0)

The authors run the recurrence anew over all positions at every scale; ours goes on from its state, with equal numbers.
Models without ``scale_mul`` (d16 and d20) compare queries and keys as they are, in heads of 64 channels.
"""

from __future__ import annotations

from functools import partial

import torch

from limner.generators.backbones.mixed_scales import MixedScaleBlock
from limner.generators.backbones.scales import ScaleTransformer, own
from limner.generators.conditions import ClassCondition
from limner.generators.embeddings import ScaleEmbedding
from limner.generators.generator import Generator
from limner.generators.heads.codes import CodeHead
from limner.generators.orders import Scales
from limner.nn.cosine import BiasedAttention, CosineAttention
from limner.store.described import heads_of
from limner.store.official import var
from limner.store.release import Draws, Release, State, depth_of

SCALE = "blocks.0.attn.scale_mul_1H11"
HEADS = {64 * depth: depth for depth in (16, 20, 24, 30)}  # by width, where nothing in the file says how many


def official_generator(state: State, *, heads: int | None = None, drop: float = 0.1) -> Generator:
    """The generator of a prepared state dict, freshly initialised.

    Args:
        state: with the names of the authors, "no class" apart from the classes.
        heads: of the attention, where the state has no ``scale_mul``; as `heads_of` has them unless given.
        drop: share of training images whose class is withheld.
    """
    width, channels = state["word_embed.weight"].shape
    counts = torch.bincount(state["lvl_1L"].flatten().long())
    layout = var.pyramid([round(count**0.5) for count in counts.tolist()])
    angles = SCALE in state
    backbone = ScaleTransformer(
        layout=layout,
        width=width,
        depth=depth_of(state, "blocks"),
        heads=state[SCALE].shape[1] if angles else heads or heads_of(state, width, HEADS),
        block=partial(MixedScaleBlock, attention=CosineAttention if angles else BiasedAttention),
        visible=own,
    )
    return Generator(
        layout=layout,
        order=Scales(),
        backbone=backbone,
        head=CodeHead(len(state["head.bias"]), width),
        condition=ClassCondition(len(state["class_emb.classes"]), width, 1),
        embed=ScaleEmbedding(channels, width, None),
        drop=drop,
    )


NAMES = var.GENERATOR_NAMES
SKIP = var.GENERATOR_SKIP + r"|\.attn\.patch_nums$"  # lengths of the scales

RELEASES = (
    Release(
        system="m-var",
        kind="generator",
        signature=(  # all of VAR's and more
            *("pos_start", "pos_1LC", "lvl_1L", "lvl_embed.weight", "word_embed.weight", "head_nm.ada_lin.1.weight"),
            "blocks.0.mamba.A_log",
        ),
        build=official_generator,
        names=NAMES,
        skip=SKIP,
        prepare=var.prepared_generator,
        draws=Draws(("var",), lambda state: var.official_decoder, side=var.finest, attach=var.attach),
    ),
)
