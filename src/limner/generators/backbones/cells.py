"""xAR's backbone: cell after cell, each denoised by the whole transformer among its noisy past (arXiv:2502.20388).

    embedding + encoder_position -> norm -> encoder blocks -> norm
    -> decoder_embed + decoder_position -> decoder blocks -> norm           modulated by  time(t) + mean(condition)

In training every cell has its own noise, and sees the noised cells before it: what it will see in drawing, where the
past is imperfect too (Noisy Context Learning). What is read clean gets timestep 0.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from limner.generators.backbones.backbone import Contexts, Embedded
from limner.generators.backbones.denoising import Conditions, NoisedBlocks, await_noise, modulation_by_level
from limner.generators.conditions import Conditioning
from limner.nn.blocks import Attention, Block, Context, Stack
from limner.nn.cache import Cache, KeyValueCache
from limner.nn.norms import RmsNorm, SwiGlu
from limner.nn.rope import Rotary, nowhere
from limner.nn.rope import grid as rotary_grid
from limner.nn.timesteps import TimestepEmbedding
from limner.types import Steps


class CellTransformer(nn.Module):
    """Any order whose steps hold equally many tokens in every row.

    Args:
        grid: height and width of the picture in tokens.
        width, heads: of the transformer.
        encoder_depth, decoder_depth: blocks of each half.
        hidden: inner channels of the gated MLPs; 8/3 of the width unless given.
        dropout: after every attention and MLP.
        noisy: train on a noised past (xAR's), or on a clean one.
        prefix: condition tokens that every cell also reads; xAR has none.
    """

    rope: Tensor

    def __init__(
        self,
        *,
        grid: tuple[int, int],
        width: int,
        encoder_depth: int,
        decoder_depth: int,
        heads: int,
        hidden: int | None = None,
        dropout: float = 0.0,
        noisy: bool = True,
        prefix: int = 0,
    ) -> None:
        super().__init__()
        self.width, self.count, self.noisy, self.prefix = width, grid[0] * grid[1] + prefix, noisy, prefix
        inner = hidden or int(width * 4 * 2 / 3)

        def block() -> Block:
            return Block(
                mlp=SwiGlu(width, inner, bias=True, activation=functional.gelu),
                attn=Attention(width, heads),
                norm=lambda: RmsNorm(width, eps=1e-6, learned=False),
                drop=nn.Dropout(dropout),
                modulation=nn.Linear(width, 6 * width),
            )

        self.time = TimestepEmbedding(width)
        self.encoder_position = nn.Parameter(torch.zeros(1, self.count, width))
        self.embedding_norm = RmsNorm(width, eps=1e-6)
        self.encoder_blocks = Stack(block() for _ in range(encoder_depth))
        self.encoder_norm = RmsNorm(width, eps=1e-6)
        self.decoder_embed = nn.Linear(width, width)
        self.decoder_position = nn.Parameter(torch.zeros(1, self.count, width))
        self.decoder_blocks = Stack((block() for _ in range(decoder_depth)), first=encoder_depth)
        self.decoder_norm = RmsNorm(width, eps=1e-6)
        places = torch.cat([rotary_grid(*grid, width // heads), nowhere(prefix, width // heads)])
        self.register_buffer("rope", places, persistent=False)
        self.initialise()

    def initialise(self) -> None:
        """Xavier weights, as the official code's."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        for position in (self.encoder_position, self.decoder_position):
            nn.init.normal_(position, std=0.02)

    def cache(self) -> KeyValueCache:
        """Room for the keys and values of the whole picture and of what is read of the condition."""
        return KeyValueCache(self.count, len(self.encoder_blocks) + len(self.decoder_blocks), self.prefix)

    def forward(
        self,
        x: Embedded,
        steps: Steps,
        condition: Conditioning,
        targets: Int[Tensor, "b m"],
        cache: KeyValueCache | None = None,
    ) -> NoisedBlocks:
        return await_noise(self, x, steps, condition, targets, cache)

    def conditions(self, t: Int[Tensor, "b levels"], pooled: Float[Tensor, "b d"]) -> Conditions:
        """What the modulations read."""
        return functional.silu(self.time(t) + pooled[:, None])

    def conditions_clean(self, pooled: Float[Tensor, "b d"]) -> Conditions:
        """Clean tokens are noised ones of timestep 0."""
        return self.conditions(torch.zeros(len(pooled), 1, dtype=torch.long, device=pooled.device), pooled)

    def run(
        self,
        x: Embedded,
        place: Int[Tensor, "b n"],
        conditions: Conditions | None,
        level: Int[Tensor, "n"],
        mask: Bool[Tensor, "n total"] | None,
        cache: Cache | None,
    ) -> Contexts:
        """One pass over tokens at these places of the grid."""
        context = Context(mask, Rotary(self.rope[place]), cache=cache)
        y = self.embedding_norm(x + functional.embedding(place, self.encoder_position[0]))
        modulation = modulation_by_level(self.encoder_blocks, conditions, level)
        y = self.encoder_blocks(y, context._replace(modulation=modulation))
        y = self.decoder_embed(self.encoder_norm(y)) + functional.embedding(place, self.decoder_position[0])
        modulation = modulation_by_level(self.decoder_blocks, conditions, level)
        return self.decoder_norm(self.decoder_blocks(y, context._replace(modulation=modulation)))
