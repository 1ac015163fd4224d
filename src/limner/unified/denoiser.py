"""A small transformer that denoises the tokens of a picture, each conditioned on a vector of its own.

    c = time(t) + context(silu(z))                                           of every token
    modulated  x = x + position, then blocks that c shifts, scales and gates (DiT's adaLN-zero, arXiv:2212.09748)
    summed     x = x + c before every plain block, and no positions: z says where it lies
    answer     linear(norm(x) * (1 + scale) + shift),  [shift | scale] = linear(silu(c))

Both are ROSS's (Wang et al., arXiv:2410.09575, Section 3.3); its released weights are modulated. All tokens see all:
the language model's causal order, where z comes from one, is made up for here. The last layer starts at zero.
"""

from __future__ import annotations

from functools import partial
from typing import cast

from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from limner.nn.blocks import Attention, Block, Context, Stack, hooked, modulate
from limner.nn.positions import grid_positions
from limner.nn.timesteps import TimestepEmbedding
from limner.nn.transformer import Mlp
from limner.types import Latents

Sequence = Float[Tensor, "b n d"]
GELU = partial(functional.gelu, approximate="tanh")


class TokenDenoiser(nn.Module):
    """``(x_t [b n c], t [b], read(z) [b n d]) -> epsilon [b n c]``, or ``[epsilon | v] [b n 2c]``.

    Args:
        channels: of a token.
        context: width of ``z``.
        grid: tokens on a side.
        width, depth, heads: of the transformer.
        hidden: inner channels of its MLPs; 4 times the width if None.
        modulated: which of the two it is.
        learned_variance: answer ``v`` too, for the variance of the reverse process.
    """

    position: Tensor

    def __init__(
        self,
        channels: int,
        context: int,
        grid: int,
        *,
        width: int,
        depth: int,
        heads: int,
        hidden: int | None = None,
        modulated: bool = True,
        learned_variance: bool = False,
    ) -> None:
        super().__init__()
        self.channels, self.modulated, self.learned_variance = channels, modulated, learned_variance
        self.input = nn.Linear(channels, width)
        self.time = TimestepEmbedding(width)
        self.context = nn.Linear(context, width)
        if modulated:
            self.register_buffer("position", grid_positions(grid, width))
        norm = partial(nn.LayerNorm, width, eps=1e-6, elementwise_affine=False)
        self.blocks = Stack(
            Block(
                Attention(width, heads),
                Mlp(width, hidden or 4 * width, GELU),
                norm,
                modulation=nn.Linear(width, 6 * width) if modulated else None,
            )
            for _ in range(depth)
        )
        self.norm = norm()
        self.modulation = nn.Linear(width, 2 * width)
        self.output = nn.Linear(width, 2 * channels if learned_variance else channels)
        self.initialise()

    def initialise(self) -> None:
        """Xavier weights, smaller ones for what conditions; modulation and output at zero, so that the net starts by
        predicting nothing."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        for layer in (self.time.fc1, self.time.fc2, self.context):
            nn.init.normal_(layer.weight, std=0.02)
        for name, parameter in self.named_parameters():
            if "modulation" in name or name.startswith("output"):
                nn.init.zeros_(parameter)

    def read(self, z: Float[Tensor, "b n context"]) -> Sequence:
        """What ``z`` tells each token; the same at every timestep."""
        return self.context(functional.silu(z))

    def forward(self, x: Latents, t: Int[Tensor, "b"], context: Sequence) -> Float[Tensor, "b n answer"]:
        condition = self.time(t)[:, None] + context
        x = self.input(x)
        if self.modulated:
            x = x + self.position
        silent = functional.silu(condition)
        if self.modulated:
            x = self.blocks(x, Context(modulation=lambda layer: cast(Block, self.blocks[layer]).modulate(silent)))
        else:
            with hooked(self.blocks, lambda layer, x, context: (x + condition, context)):
                x = self.blocks(x)
        shift, scale = self.modulation(silent).chunk(2, dim=-1)
        return self.output(modulate(self.norm(x), shift, scale))
