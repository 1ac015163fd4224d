"""LlamaGen's backbone: Llama's blocks over condition and tokens (Sun et al., arXiv:2406.06525).

inputs   condition 1 .. k, then the tokens in raster order; position k predicts the first token, each later one the next
rotary   queries and keys are turned by row and column of the token; those of the condition are set to zero, so that
         condition positions attend to all alike, and are attended to alike, unless they are not ``muted``
"""

from __future__ import annotations

from jaxtyping import Int
from torch import Tensor, nn

from limner.generators.backbones.backbone import Contexts, Embedded
from limner.generators.conditions import Conditioning
from limner.generators.sequence import PrefixedSequence, initialise
from limner.nn.blocks import llama_blocks
from limner.nn.cache import KeyValueCache, resume
from limner.nn.norms import RmsNorm
from limner.nn.transformer import take
from limner.types import Steps


class LlamaTransformer(nn.Module):
    """Raster order; keys and values of earlier positions are kept exactly.

    Args:
        grid: rows and columns of the tokens.
        prefix: condition positions.
        width, depth, heads: of the transformer; heads are of a multiple of 4 channels.
        hidden: inner channels of every SwiGLU.
        dropout: of the embedded inputs, and after every attention and SwiGLU.
        muted: queries and keys of the condition are zero, see `PrefixedSequence`.
        normed: contexts are normalised; else the head does it.
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
        normed: bool = True,
    ) -> None:
        super().__init__()
        self.width = width
        self.sequence = PrefixedSequence(grid, prefix, width, heads, dropout, muted)
        self.blocks = llama_blocks(depth, width, heads, hidden=hidden, dropout=dropout)
        self.norm = RmsNorm(width) if normed else nn.Identity()
        initialise(self)

    def cache(self) -> KeyValueCache:
        """Room for the keys and values of the whole sequence."""
        return KeyValueCache(len(self.sequence.table), len(self.blocks), self.sequence.prefix)

    def forward(
        self,
        x: Embedded,
        steps: Steps,
        condition: Conditioning,
        targets: Int[Tensor, "b m"],
        cache: KeyValueCache | None = None,
    ) -> Contexts:
        order = steps[0].argsort(stable=True)
        place = self.sequence.prefix - 1 + order.argsort()[targets]  # of the token before, or of the condition's last
        first = resume(cache, int(place.min()))
        states, context = self.sequence(x, steps, condition, order, first)
        return self.norm(take(self.blocks(states, context._replace(cache=cache)), place - first))
