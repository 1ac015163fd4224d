"""xAR as its authors released it: their sizes, and the way from the names of their weights to ours.

Ren et al., arXiv:2502.20388, code and weights at github.com/OliverRensu/xAR; latents are those of MAR's KL-16::

    model = limner.load("xAR-B.pth", tokenizer="kl16.ckpt")
    model.draw(classes=[207], n=4, seed=0)

Three tensors lie otherwise than ours: the last row of the class table means no class and is ``condition.nothing``;
learned positions follow the cells, ours the raster; modulations are (gates, scales, shifts), ours (shift, scale, gate)
of attention, then of the MLP. Rotary tables and the mask, which the file holds too, are computed. In training, ours
leaves out the dropout inside attention and between the two layers of an MLP.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from einops import rearrange
from torch import Tensor

from limner.decode.decoder import Decoder
from limner.decode.schedules import with_steps
from limner.generators.backbones.cells import CellTransformer
from limner.generators.conditions import ClassCondition
from limner.generators.generator import Generator
from limner.generators.heads.head import SamplingOptions
from limner.generators.heads.trunk import Flow, TrunkHead
from limner.generators.orders import Cells
from limner.store.described import heads_of
from limner.store.release import Draws, Release, State, depth_of
from limner.types import Layout


@dataclass(frozen=True, kw_only=True)
class XarSizes:
    """How large an xAR is; the defaults are those of all released models at 256 pixels.

    ``grid`` tokens on a side, cut into cells of ``cell`` on a side; ``steps`` of Euler-Maruyama per cell.
    """

    width: int
    encoder_depth: int
    decoder_depth: int
    heads: int
    steps: int = 50
    grid: int = 16
    cell: int = 8
    channels: int = 16
    classes: int = 1000
    drop: float = 0.1
    dropout: float = 0.1


# 173, 608 and 1186 M parameters, counted; steps as the official commands draw.
XAR_BASE = XarSizes(width=768, encoder_depth=8, decoder_depth=8, heads=12, steps=40)
XAR_LARGE = XarSizes(width=1024, encoder_depth=16, decoder_depth=16, heads=16)
XAR_HUGE = XarSizes(width=1280, encoder_depth=20, decoder_depth=20, heads=16)

GUIDANCE = {768: 2.7, 1024: 2.3, 1280: 2.2}  # by width, as the README of the code evaluates
CELLS = 2  # cells on a side, which no shape tells
HEADS = {sizes.width: sizes.heads for sizes in (XAR_BASE, XAR_LARGE, XAR_HUGE)}
STEPS = {sizes.width: sizes.steps for sizes in (XAR_BASE, XAR_LARGE, XAR_HUGE)}


def official_generator(sizes: XarSizes) -> Generator:
    """An xAR of these sizes, freshly initialised."""
    grid, cell = (sizes.grid, sizes.grid), (sizes.cell, sizes.cell)
    backbone = CellTransformer(
        grid=grid,
        width=sizes.width,
        encoder_depth=sizes.encoder_depth,
        decoder_depth=sizes.decoder_depth,
        heads=sizes.heads,
        dropout=sizes.dropout,
    )
    return Generator(
        layout=Layout((grid,)),
        order=Cells(cell),
        backbone=backbone,
        head=TrunkHead(sizes.channels, sizes.width, Flow(sizes.steps)),
        condition=ClassCondition(sizes.classes, sizes.width, 1),
        drop=sizes.drop,
    )


def sizes_of(state: State) -> XarSizes:
    """The sizes of an official generator; a rotary table, which has a frequency per 4 channels of a head, tells the
    heads, and without one `heads_of` does."""
    width, channels = state["z_proj.weight"].shape
    frequencies = state.get("encoder_blocks.0.attn.rope.freqs")
    heads = heads_of(state, width, HEADS) if frequencies is None else width // (4 * len(frequencies))
    grid = math.isqrt(state["encoder_pos_embed_learned"].shape[1])
    return XarSizes(
        width=width,
        encoder_depth=depth_of(state, "encoder_blocks"),
        decoder_depth=depth_of(state, "decoder_blocks"),
        heads=heads,
        steps=STEPS.get(width, XarSizes.steps),
        grid=grid,
        cell=grid // CELLS,
        channels=channels,
        classes=state["class_emb.weight"].shape[0],
    )


def drawing(state: State) -> Callable[[Generator], Decoder]:
    """How the authors draw: guidance from none in the first cell to that of the model's width in the last."""
    strength = GUIDANCE.get(sizes_of(state).width, GUIDANCE[XAR_BASE.width])
    return partial(Decoder, options=SamplingOptions(guidance=strength), guidance=with_steps)


def prepare(state: State) -> dict[str, Tensor]:
    """Official tensors, or gradients of them, as ours lie."""
    prepared = dict(state)
    for key, value in state.items():
        if key == "class_emb.weight":
            prepared[key], prepared["class_emb.nothing"] = value[:-1], value[-1:]
        elif key.endswith("_pos_embed_learned"):
            prepared[key] = rastered(value)
        elif ".ada_lin.1." in key:
            gate1, gate2, scale1, scale2, shift1, shift2 = value.chunk(6)
            prepared[key] = torch.cat([shift1, scale1, gate1, shift2, scale2, gate2])
    return prepared


def rastered(values: Tensor) -> Tensor:
    """Tokens ``[b n d]`` that lie cell by cell, in raster order."""
    cell = math.isqrt(values.shape[1]) // CELLS
    return rearrange(values, "b (r c h w) d -> b (r h c w) d", r=CELLS, c=CELLS, h=cell, w=cell)


NAMES = (
    (r"^condition\.embedding\b", "class_emb"),
    (r"^condition\.nothing$", "class_emb.nothing"),
    (r"^head\.embed\b", "z_proj"),
    (r"^head\.output\b", "pred"),
    (r"^backbone\.time\.fc1\b", "time_embed.mlp.0"),
    (r"^backbone\.time\.fc2\b", "time_embed.mlp.2"),
    (r"^backbone\.(encoder|decoder)_position$", r"\1_pos_embed_learned"),
    (r"^backbone\.embedding_norm\b", "z_proj_ln"),
    (r"\.mlp\.gate\b", ".mlp.fc1_g"),
    (r"\.mlp\.value\b", ".mlp.fc1_x"),
    (r"\.mlp\.output\b", ".mlp.fc2"),
    (r"\.modulation\b", ".ada_lin.1"),
    (r"^backbone\.", ""),
)
SKIP = r"\.rope\.freqs|^mask$"

RELEASES: tuple[Release, ...] = (
    Release(
        system="xar",
        kind="generator",
        signature=("z_proj_ln.weight", "encoder_blocks.0.ada_lin.1.weight", "encoder_blocks.0.mlp.fc1_g.weight"),
        build=lambda state: official_generator(sizes_of(state)),
        names=NAMES,
        skip=SKIP,
        prepare=prepare,
        draws=Draws(("mar",), drawing),
    ),
)
