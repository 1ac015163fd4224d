"""A picture as a line of tokens: TiTok (Yu et al., arXiv:2406.07550, Section 3.2).

    latents = encoder([cells of the picture | learnt queries])         what the queries have become
    picture = pixels(decoder([masks, one per cell | latents]))         what the masks have become

A token belongs to no place, so there may be as few as the picture needs: 32 in place of 256. ``pixels`` draws every
cell by itself (`PatchPixels`), or by the codes of another tokenizer (`limner.tokenizers.proxy`). Pictures are in
[0, 1] inside; the tokenizer moves ours there and back.
"""

from __future__ import annotations

from math import prod
from typing import NamedTuple

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from limner.nn.blocks import vit_blocks
from limner.tokenizers.quantizers.nested import TailDrop
from limner.tokenizers.quantizers.quantizer import Discrete, Quantizer
from limner.tokenizers.tokenizer import Codec, cells
from limner.types import Layout, Size

Line = Float[Tensor, "b c 1 n"]  # features or latents of n tokens
Cells = Float[Tensor, "b d rows columns"]


class Vit(NamedTuple):
    """How large a vision transformer is, and how many pixels on a side one of its cells has."""

    width: int
    depth: int
    heads: int
    patch: int = 16

    def grid(self, size: Size) -> tuple[int, int]:
        """Rows and columns of cells of an image of ``size`` pixels; raises `InputError` if it does not divide."""
        rows, columns = cells(size, self.patch).grids[0]
        return rows, columns


class JointTransformer(nn.Module):
    """``[summary | cells | latents]``, each with a learnt position, through one transformer.

    Args:
        vit: its sizes; biases everywhere, GELU, LayerNorm before each part, before the first block and after the last.
        cells: how many there are.
        latents: how many there are at most; fewer are the first ones.
    """

    def __init__(self, vit: Vit, cells: int, latents: int) -> None:
        super().__init__()
        self.cells = cells
        deviation = vit.width**-0.5
        self.summary = nn.Parameter(deviation * torch.randn(1, vit.width))
        self.position = nn.Parameter(deviation * torch.randn(1 + cells, vit.width))
        self.latent_position = nn.Parameter(deviation * torch.randn(latents, vit.width))
        self.first_norm, self.last_norm = nn.LayerNorm(vit.width), nn.LayerNorm(vit.width)
        self.blocks = vit_blocks(vit.depth, vit.width, vit.heads, eps=1e-5)

    def forward(
        self, cells: Float[Tensor, "b m d"], latents: Float[Tensor, "b n d"]
    ) -> tuple[Float[Tensor, "b m d"], Float[Tensor, "b n d"]]:
        """What cells and latents have become."""
        summary = self.summary.expand(len(cells), 1, -1)
        grid = torch.cat([summary, cells], 1) + self.position
        x = self.first_norm(torch.cat([grid, latents + self.latent_position[: latents.shape[1]]], 1))
        _, cells, latents = self.last_norm(self.blocks(x)).split((1, self.cells, latents.shape[1]), 1)
        return cells, latents


class LatentEncoder(nn.Module):
    """Picture to the features of ``count`` tokens.

    Args:
        vit: sizes of the transformer.
        size: of an image in pixels, a side or height and width.
        count: learnt queries, which become the tokens.
        features: channels per token.
        scrambled: read the queries' outputs ``[n, d]`` in memory order as ``[d, n]``, as the first released models do:
            the channels of a token then come from ``d / n``-th parts of all outputs. Else they are transposed.
    """

    def __init__(self, vit: Vit, *, size: Size, count: int, features: int, scrambled: bool = False) -> None:
        super().__init__()
        self.count, self.scrambled = count, scrambled
        self.patches = nn.Conv2d(3, vit.width, vit.patch, stride=vit.patch)
        self.latents = nn.Parameter(vit.width**-0.5 * torch.randn(count, vit.width))
        self.trunk = JointTransformer(vit, prod(vit.grid(size)), count)
        self.project = nn.Conv2d(vit.width, features, 1)

    def forward(self, picture: Float[Tensor, "b 3 h w"]) -> Line:
        cells = self.patches(picture).flatten(2).mT
        _, latents = self.trunk(cells, self.latents.expand(len(cells), -1, -1))
        if self.scrambled:
            line = latents.reshape(len(latents), -1, self.count)
        else:
            line = latents.mT
        return self.project(line[:, :, None])


class PatchPixels(nn.Module):
    """Every cell as its pixels, then one convolution over the seams."""

    def __init__(self, width: int, patch: int) -> None:
        super().__init__()
        self.patch = patch
        self.cells = nn.Conv2d(width, 3 * patch**2, 1)
        self.last = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, cells: Cells) -> Float[Tensor, "b 3 h w"]:
        pixels = rearrange(self.cells(cells), "b (p q c) y x -> b c (y p) (x q)", p=self.patch, q=self.patch)
        return self.last(pixels)


class MaskDecoder(nn.Module):
    """Latents to picture: as many equal masks as there are cells read the latents and become the cells.

    Args:
        vit: sizes of the transformer.
        size: of an image in pixels, a side or height and width.
        count: latents at most; of fewer, these are the first ones.
        channels: of a latent.
        pixels: cells ``[b, width, rows, columns]`` to a picture in [0, 1].
    """

    def __init__(self, vit: Vit, *, size: Size, count: int, channels: int, pixels: nn.Module) -> None:
        super().__init__()
        self.grid = vit.grid(size)
        self.embed = nn.Linear(channels, vit.width)
        self.mask = nn.Parameter(vit.width**-0.5 * torch.randn(1, 1, vit.width))
        self.trunk = JointTransformer(vit, prod(self.grid), count)
        self.pixels = pixels

    def cells(self, latents: Line) -> Cells:
        """What the masks have become."""
        masks = self.mask.expand(len(latents), prod(self.grid), -1)
        cells, _ = self.trunk(masks, self.embed(latents[:, :, 0].mT))
        return rearrange(cells, "b (y x) d -> b d y x", y=self.grid[0])

    def forward(self, latents: Line) -> Float[Tensor, "b 3 h w"]:
        return self.pixels(self.cells(latents))


class OneDTokenizer(Codec):
    """A tokenizer of images to a line of tokens.

    Args:
        encoder: picture to features.
        quantizer: the bottleneck, see `limner.tokenizers.quantizers`.
        decoder: latents to picture.
        size: of an image in pixels, a side or height and width.
        unit: see `Codec`.
    """

    decoder: MaskDecoder

    def __init__(
        self,
        encoder: LatentEncoder,
        quantizer: Quantizer,
        decoder: MaskDecoder,
        *,
        size: Size,
        unit: bool = True,
    ) -> None:
        super().__init__(encoder, quantizer, decoder, size=size, layout=Layout(((encoder.count,),)), unit=unit)

    def freeze_tokens(self) -> None:
        """From here on tokens stay as they are, and only the decoder learns: the second stage of training."""
        for name, parameter in self.named_parameters():
            if not name.startswith("decoder."):
                parameter.requires_grad_(False)


def nested(tokenizer: OneDTokenizer) -> OneDTokenizer:
    """The tokenizer, which from here on is trained with a `TailDrop`, and decodes any first tokens of a picture."""
    assert isinstance(tokenizer.quantizer, Discrete)
    tokenizer.quantizer = TailDrop(tokenizer.quantizer)
    tokenizer.layout = tokenizer.layout._replace(nested=True)
    return tokenizer
