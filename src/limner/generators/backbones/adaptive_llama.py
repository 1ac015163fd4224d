"""Llama's blocks under modulations of the condition (adaLN; Peebles & Xie, arXiv:2212.09748, Section 3.2), as ELM and
GigaTok have them for their larger generators.

    x <- x + gate * f(norm(x) (1 + scale) + shift),    context = norm(x) (1 + scale) + shift

with shifts, scales and gates of each block by one layer of the condition, whose token is read besides.
"""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from limner.generators.backbones.backbone import Contexts, Embedded
from limner.generators.backbones.llama import LlamaTransformer
from limner.generators.conditions import Conditioning
from limner.nn.blocks import Modulation, modulate
from limner.nn.cache import KeyValueCache, resume
from limner.nn.transformer import take
from limner.types import Steps


class AdaptiveLlama(LlamaTransformer):
    """Raster order, as a `LlamaTransformer`.

    Args:
        grid: rows and columns of the tokens.
        prefix: condition positions.
        width, depth, heads, hidden: of the transformer.
        dropout: of the embedded inputs, and after every attention and SwiGLU.
        muted: queries and keys of the condition are zero, see `PrefixedSequence`.
    """

    def __init__(
        self,
        *,
        grid: tuple[int, int],
        prefix: int,
        width: int,
        depth: int,
        heads: int,
        hidden: int,
        dropout: float = 0.0,
        muted: bool = True,
    ) -> None:
        super().__init__(
            grid=grid,
            prefix=prefix,
            width=width,
            depth=depth,
            heads=heads,
            hidden=hidden,
            dropout=dropout,
            muted=muted,
        )
        self.modulations = nn.ModuleList(nn.Linear(width, 6 * width) for _ in range(depth))
        self.last_modulation = nn.Linear(width, 2 * width)
        for layer in (*self.modulations, self.last_modulation):
            assert isinstance(layer, nn.Linear)
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(
        self,
        x: Embedded,
        steps: Steps,
        condition: Conditioning,
        targets: Int[Tensor, "b m"],
        cache: KeyValueCache | None = None,
    ) -> Contexts:
        order = steps[0].argsort(stable=True)
        place = self.sequence.prefix - 1 + order.argsort()[targets]
        first = resume(cache, int(place.min()))
        states, context = self.sequence(x, steps, condition, order, first)
        vector = condition.vector()[:, None]
        made = self.made(vector) if cache is None else cache.ahead(len(x), 0, 1, lambda: self.made(vector))
        context = context._replace(cache=cache, modulation=lambda layer: Modulation.of(made[layer]))
        shift, scale = made[-1].chunk(2, dim=-1)
        return modulate(self.norm(take(self.blocks(states, context), place - first)), shift, scale)

    def made(self, condition: Float[Tensor, "b 1 d"]) -> list[Float[Tensor, "b 1 dn"]]:
        """Modulations of every block, then of the last norm: once for a whole drawing."""
        silent = functional.silu(condition)
        return [layer(silent) for layer in (*self.modulations, self.last_modulation)]
