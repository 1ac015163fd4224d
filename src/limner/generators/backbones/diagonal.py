"""NAR's backbone: Llama's blocks, one more, and a context from two sides (He et al., arXiv:2503.10696).

    inputs     condition, then the tokens diagonal by diagonal; a token attends to its own and earlier diagonals
    right      what the position of (i, j) predicts of (i, j + 1), after ``depth`` blocks
    below      what it tells of (i + 1, j), after one block more
    context    [a right(i, j - 1), b below(i - 1, j)],   a = b = 1/2 inside, 1 and 0 in the first row, 0 and 1 in the
               first column; both of the last of the condition, halved, for (0, 0)

so that one matrix over both halves gives the mean of the logits of two heads.
"""

from __future__ import annotations

from collections import deque
from itertools import chain

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from limner.generators.backbones.backbone import Embedded
from limner.generators.conditions import Conditioning
from limner.generators.sequence import PrefixedSequence, initialise
from limner.nn.blocks import Context, llama_blocks
from limner.nn.cache import KeyValueCache, resume
from limner.nn.norms import RmsNorm
from limner.nn.transformer import Sequence, take
from limner.types import Steps


class DiagonalTransformer(nn.Module):
    """Orders of which the left and the upper neighbour are known one step before a token, such as `Diagonals`; keys and
    values of earlier positions are kept exactly. Contexts are twice as wide as the blocks.

    Args:
        grid: rows and columns of the tokens.
        prefix: condition positions.
        width, depth, heads: of the transformer, without the last block; heads are of a multiple of 4 channels.
        hidden: inner channels of every SwiGLU.
        dropout: of the embedded inputs, and after every attention and SwiGLU.
        muted: queries and keys of the condition are zero, see `PrefixedSequence`.
    """

    left: Tensor
    above: Tensor
    shares: Tensor

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
        super().__init__()
        self.width = 2 * width
        self.sequence = PrefixedSequence(grid, prefix, width, heads, dropout, muted)
        self.blocks = llama_blocks(depth + 1, width, heads, hidden=hidden, dropout=dropout)
        self.norm, self.below_norm = RmsNorm(width), RmsNorm(width)
        for name, table in zip(("left", "above", "shares"), neighbours(*grid), strict=True):
            self.register_buffer(name, table, persistent=False)
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
    ) -> Float[Tensor, "b m d2"]:
        order = steps[0].argsort(stable=True)
        rank = functional.pad(order.argsort(), (0, 1), value=-1)  # of no token, whose place is the condition's last
        left, above = (self.sequence.prefix + rank[side[targets]] for side in (self.left, self.above))
        first = resume(cache, int(torch.minimum(left, above).min()))
        states, context = self.sequence(x, steps, condition, order, first)
        right, below = self.sides(states, context._replace(cache=cache))
        shares, right, below = self.shares[targets], take(right, left - first), take(below, above - first)
        return torch.cat([shares[..., :1] * self.norm(right), shares[..., 1:] * self.below_norm(below)], -1)

    def sides(self, states: Sequence, context: Context) -> tuple[Sequence, Sequence]:
        """What each position tells of the token to its right and of that below, before their norms."""
        right, below = deque(chain([states], self.blocks.states(states, context)), maxlen=2)
        return right, below


def neighbours(rows: int, columns: int) -> tuple[Int[Tensor, "n"], Int[Tensor, "n"], Float[Tensor, "n 2"]]:
    """The tokens to the left of and above each token of a grid, and their shares in telling of it. Where one is missing
    the other stands for it, with no share; the first token has none, -1, and shares alike."""
    index = torch.arange(rows * columns)
    row, column = index // columns, index % columns
    left, above = index - 1, index - columns
    shares = torch.full((len(index), 2), 0.5)
    shares[(row == 0) & (column > 0)] = torch.tensor([1.0, 0.0])
    shares[(row > 0) & (column == 0)] = torch.tensor([0.0, 1.0])
    left, above = torch.where(column > 0, left, above), torch.where(row > 0, above, left)
    left[0] = above[0] = -1
    return left, above, shares
