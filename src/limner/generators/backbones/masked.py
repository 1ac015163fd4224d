"""MAR's backbone: an encoder that reads the known tokens only, a decoder over all (arXiv:2406.11838, Section 3.3;
He et al., arXiv:2111.06377)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from limner.generators.backbones.backbone import Embedded
from limner.generators.conditions import Conditioning
from limner.nn.blocks import vit_blocks
from limner.nn.cache import KeyValueCache
from limner.nn.transformer import put, take
from limner.types import Steps


class MaskedAutoencoder(nn.Module):
    """Bidirectional attention in two halves. The tokens of the last step present are predicted from all earlier ones;
    rows must have equally many.

    Args:
        count: image tokens.
        prefix: condition tokens, read by both halves.
        width: of every layer of the encoder, and of the decoder unless it has its own.
        encoder_depth, decoder_depth: blocks of each half.
        heads: of every attention of the encoder, and of the decoder unless it has its own.
        activation: of every MLP; GELU is the paper's.
        dropout: after every attention and MLP.
        decoder_width, decoder_heads: of the decoder, where they differ; contexts are of the decoder's width.
        position_std: of the learned positions and the mask token at the start. The paper's 0.02 drowns in what the
            first block adds, so that positions become distinct late: see docs/LOG.md.
    """

    def __init__(
        self,
        *,
        count: int,
        prefix: int,
        width: int,
        encoder_depth: int,
        decoder_depth: int,
        heads: int,
        activation: Callable[[Tensor], Tensor] = functional.gelu,
        dropout: float = 0.0,
        decoder_width: int | None = None,
        decoder_heads: int | None = None,
        position_std: float = 0.02,
    ) -> None:
        super().__init__()
        self.width, self.prefix = decoder_width or width, prefix

        blocks = partial(vit_blocks, activation=activation, dropout=dropout)
        self.encoder_position = nn.Parameter(torch.zeros(1, prefix + count, width))
        self.embedding_norm = nn.LayerNorm(width, eps=1e-6)
        self.encoder_blocks = blocks(encoder_depth, width, heads)
        self.encoder_norm = nn.LayerNorm(width, eps=1e-6)
        self.decoder_embed = nn.Linear(width, self.width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, self.width))
        self.decoder_position = nn.Parameter(torch.zeros(1, prefix + count, self.width))
        self.decoder_blocks = blocks(decoder_depth, self.width, decoder_heads or heads)
        self.decoder_norm = nn.LayerNorm(self.width, eps=1e-6)
        self.head_position = nn.Parameter(torch.zeros(1, count, self.width))
        for weight in (self.encoder_position, self.mask_token, self.decoder_position, self.head_position):
            nn.init.normal_(weight, std=position_std)

    def cache(self) -> None:
        """Known tokens attend to newly known ones, so every pass is computed anew."""
        return

    def forward(
        self,
        x: Embedded,
        steps: Steps,
        condition: Conditioning,
        targets: Int[Tensor, "b m"],
        cache: KeyValueCache | None = None,
    ) -> Float[Tensor, "b m e"]:
        known = self.known(steps)
        return take(self.decode(self.encode(x, known, condition.prefix), known), targets)

    @staticmethod
    def known(steps: Steps) -> Int[Tensor, "b n1"]:
        """Positions of the tokens before the last step, in raster order."""
        masked = steps == steps.amax(1, keepdim=True)
        count = int((~masked[0]).sum())
        return masked.long().argsort(dim=1, stable=True)[:, :count]

    def encode(
        self, x: Embedded, known: Int[Tensor, "b n1"], prefix: Float[Tensor, "b k d"]
    ) -> Float[Tensor, "b kn1 d"]:
        """Features of condition and known tokens."""
        position = self.encoder_position
        tokens = take(x + position[:, self.prefix :], known)
        y = self.embedding_norm(torch.cat([prefix + position[:, : self.prefix], tokens], dim=1))
        return self.encoder_norm(self.encoder_blocks(y))

    def decode(self, y: Float[Tensor, "b kn1 d"], known: Int[Tensor, "b n1"]) -> Float[Tensor, "b n e"]:
        """Contexts of all tokens; those of known tokens are of no use."""
        y = self.decoder_embed(y)
        prefix, tokens = y[:, : self.prefix], y[:, self.prefix :]
        count = self.decoder_position.shape[1] - self.prefix
        everything = put(self.mask_token.to(y.dtype).expand(len(y), count, -1), known, tokens)
        y = torch.cat([prefix, everything], dim=1) + self.decoder_position
        return self.decoder_norm(self.decoder_blocks(y))[:, self.prefix :] + self.head_position
