"""ACDiT as its authors released it: their sizes, and the way from the names of their weights to ours.

Hu et al., arXiv:2412.07720, code and weights at github.com/thunlp/ACDiT. Pictures are latents of Stable Diffusion's
autoencoder as DiT uses it, 4 channels per cell of 8 pixels; a token is one of them, or a patch with channels last::

    generator = limner.load("ACDiT-XL-img.pt")
    Decoder(generator, SamplingOptions(guidance=1.5), guidance=constant)(labels, rng)

Shapes do not tell the grid and the blocks, so a file is taken for the released models of pictures; films, whose sizes
lie in the file's ``args``, are built by ``official_generator(AcditSizes(...))``. The last row of the class table means
no class, ours is ``condition.nothing``. Positions are computed. ACDiT feeds its clean last block too, which
nothing sees.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from torch import Tensor

from limner.decode.decoder import Decoder
from limner.decode.schedules import constant
from limner.errors import CheckpointError
from limner.generators.backbones.blockwise import BlockwiseTransformer
from limner.generators.conditions import ClassCondition
from limner.generators.generator import Generator
from limner.generators.heads.head import SamplingOptions
from limner.generators.heads.trunk import Diffusion, TrunkHead
from limner.generators.orders import Cells
from limner.store.release import Draws, Release, State, depth_of
from limner.types import Layout


@dataclass(frozen=True, kw_only=True)
class AcditSizes:
    """How large an ACDiT is; the defaults are those of the released models of pictures of 256 pixels.

    ``axes`` are lengths in tokens, (rows, columns) or (frames, rows, columns); ``split`` shares the channels of a head
    among them. ``block`` is a rectangle of the picture, (rows, columns), or how many tokens in raster order. ``steps``
    of DPM-Solver++ per block.
    """

    width: int
    depth: int
    heads: int
    axes: tuple[int, ...] = (32, 32)
    split: tuple[int, ...] = (1, 1)
    block: tuple[int, int] | int = (16, 16)
    channels: int = 4
    classes: int = 1000
    steps: int = 25
    drop: float = 0.1


# 130, 458, 675 and 951 M parameters; the code calls them 132M, 460M, 677M and 954M.
ACDIT_B = AcditSizes(width=768, depth=12, heads=12)
ACDIT_L = AcditSizes(width=1024, depth=24, heads=16)
ACDIT_XL = AcditSizes(width=1152, depth=28, heads=18)
ACDIT_H = AcditSizes(width=1280, depth=32, heads=20)


def blocks_of(sizes: AcditSizes) -> tuple[Layout, Cells]:
    """Where tokens lie, and the blocks that they are cut into: boxes of a grid, or runs of a line."""
    if isinstance(sizes.block, int):
        return Layout(((prod(sizes.axes),),)), Cells((sizes.block,))
    return Layout((tuple(sizes.axes),)), Cells(sizes.block)


def official_generator(sizes: AcditSizes) -> Generator:
    """An ACDiT of these sizes, freshly initialised."""
    layout, order = blocks_of(sizes)
    return Generator(
        layout=layout,
        order=order,
        backbone=BlockwiseTransformer(
            axes=sizes.axes, split=sizes.split, width=sizes.width, depth=sizes.depth, heads=sizes.heads
        ),
        head=TrunkHead(sizes.channels, sizes.width, Diffusion(sizes.steps), bias=False),
        condition=ClassCondition(sizes.classes, sizes.width, 1),
        drop=sizes.drop,
    )


def official_decoder(generator: Generator) -> Decoder:
    """How the authors draw."""
    return Decoder(generator, SamplingOptions(guidance=1.5), guidance=constant)


def sizes_of(state: State) -> AcditSizes:
    """The sizes of an official generator of pictures; raises `CheckpointError` if it has other classes or channels than
    those that were released."""
    width, channels = state["x_embedder.weight"].shape
    classes = state["y_embedder.embedding_table.weight"].shape[0]
    if (channels, classes) != (AcditSizes.channels, AcditSizes.classes):
        raise CheckpointError(
            f"shapes do not tell the blocks of an ACDiT of {channels} channels and {classes} classes, which is none of "
            "the released ones of pictures: build it by official_generator(AcditSizes(...))"
        )
    heads = width // state["blocks.0.attn.q_norm.weight"].shape[0]
    return AcditSizes(width=width, depth=depth_of(state, "blocks"), heads=heads)


def prepare(state: State) -> dict[str, Tensor]:
    """Official tensors, or gradients of them, as ours lie."""
    prepared = dict(state)
    if (table := state.get(TABLE)) is not None:
        prepared[TABLE], prepared[f"{TABLE}.nothing"] = table[:-1], table[-1:]
    return prepared


TABLE = "y_embedder.embedding_table.weight"
NAMES = (
    (r"^condition\.embedding\.weight$", TABLE),
    (r"^condition\.nothing$", f"{TABLE}.nothing"),
    (r"^head\.embed\b", "x_embedder"),
    (r"^head\.output\b", "final_layer.linear"),
    (r"^backbone\.time\.fc1\b", "t_embedder.mlp.0"),
    (r"^backbone\.time\.fc2\b", "t_embedder.mlp.2"),
    (r"^backbone\.norm\b", "final_layer.norm_final"),
    (r"^backbone\.modulation\b", "final_layer.modulation"),
    (r"\.modulation\b", ".adaLN_modulation.1"),
    (r"^backbone\.", ""),
)

RELEASES: tuple[Release, ...] = (
    Release(
        system="acdit",
        kind="generator",
        signature=("x_embedder.weight", TABLE, "blocks.0.attn.q_norm.weight", "final_layer.norm_final.weight"),
        build=lambda state: official_generator(sizes_of(state)),
        names=NAMES,
        prepare=prepare,
        draws=Draws(("mar",), lambda state: official_decoder),
    ),
)
