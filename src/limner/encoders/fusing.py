"""A vision transformer whose layers go on with the patches that matter, and one patch for all the others (EViT).

Liang et al., arXiv:2202.07800, Section 3. In some layers, between attention and MLP, with A the layer's attention,

    a_j  = mean over heads of A[class, j]                 of the N patches there
    kept = the ceil(share N) of largest a                 fused = sum over the others of a_j x_j

and the fused patch competes in the next of these layers like any other. Nothing is learned. In an encoder without a
class token the mean over all patches stands in for it, as in `limner.encoders.class_attention`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, cast, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from limner.encoders.encoder import VisionEncoder
from limner.nn.blocks import Block, Context, Stack, hooked
from limner.nn.transformer import Sequence, take
from limner.types import Image, Patches

Worth = Callable[[Float[Tensor, "b n"]], Float[Tensor, "b n"]]  # attention received, to what patches are kept by


@runtime_checkable
class Blocked(VisionEncoder, Protocol):
    """A vision encoder whose layers can be reached; ``before``: tokens in front of its patches; ``norm``: of the last
    states."""

    blocks: Stack
    norm: nn.LayerNorm

    @property
    def before(self) -> int: ...


def attention(received: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
    """What attention says."""
    return received


@dataclass
class Fusing:
    """The hook of one pass; see above.

    Args:
        blocks: of the encoder.
        before: tokens in front of the patches.
        shares: of the patches that a layer keeps, by layer.
        fused: whether what is not kept goes on as one patch, or not at all.
        worth: what patches are kept by.
        chosen: receives the indices of the patches that each layer kept.
    """

    blocks: Stack
    before: int
    shares: dict[int, float]
    fused: bool = True
    worth: Worth = attention
    chosen: list[Int[Tensor, "b k"]] = field(default_factory=list)

    def __call__(self, layer: int, x: Sequence, context: Context) -> tuple[Float[Tensor, "b kept d"], Context]:
        count = x.shape[1] - self.before
        left = math.ceil(self.shares.get(layer, 1.0) * count)
        if left >= count:
            return x, context
        block = cast(Block, self.blocks[layer])
        rows = slice(0, 1 if self.before else None)
        received = block.weights(x, context, layer, rows).mean((1, 2))[:, self.before :]
        x = block(x, context._replace(skip=("mlp",)), layer)
        order = self.worth(received).argsort(dim=1, descending=True, stable=True)
        kept, others = order[:, :left].sort(dim=1).values, order[:, left:]
        self.chosen.append(kept)
        front = torch.arange(self.before, device=x.device).expand(len(x), -1)
        index = torch.cat([front, kept + self.before], 1)
        left_over = take(x[:, self.before :], others)
        x = take(x, index)
        if self.fused:
            x = torch.cat([x, (left_over * take(received, others)[..., None]).sum(1, keepdim=True)], 1)
            index = torch.cat([index, others[:, :1] + self.before], 1)  # it lies where the first of them lay
        return x, context.at(index)._replace(skip=("attn",))


class FusingEncoder(nn.Module):
    """A `VisionEncoder` with fewer patches than the one it is made of, whose weights it shares.

    Args:
        encoder: whose layers fuse.
        shares, fused, worth: see `Fusing`.
    """

    def __init__(
        self, encoder: Blocked, shares: dict[int, float], *, fused: bool = True, worth: Worth = attention
    ) -> None:
        super().__init__()
        self.encoder, self.shares, self.fused, self.worth = encoder, shares, fused, worth

    @property
    def size(self) -> int:
        """Pixels on a side of the images that the encoder was trained on."""
        return self.encoder.size

    @property
    def width(self) -> int:
        """Channels of a patch."""
        return self.encoder.width

    def forward(self, image: Image) -> Patches:
        """What is left of the patches, in their order, and the fused one last."""
        blocks = self.encoder.blocks
        with hooked(blocks, Fusing(blocks, self.encoder.before, self.shares, self.fused, self.worth)):
            return self.encoder(image)
