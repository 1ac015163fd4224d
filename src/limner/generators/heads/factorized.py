"""A token of several sub-codes, drawn one after the other by a small transformer: the head of FQGAN's generator (Bai et
al., arXiv:2411.16681, Section 3.3), as RQ-Transformer's (Lee et al., arXiv:2203.01941, Section 3.2.2).

    p(token | z) = prod_g p(k_g | z, k_1 .. k_{g-1}),    logits of k_g = W_g norm(h_g),
    h_1 .. h_G   = blocks([z, e_1(k_1), .., e_{G-1}(k_{G-1})]), causal

where e_g are the tables whose vectors, joined and projected, the backbone reads. So an id of V^G values costs G
softmaxes of V. Sub-codes are the digits of an id (`limner.tokenizers.quantizers.digits`), so that any tokenizer of such
ids serves: product, residual, factorised.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from limner.generators.heads.categorical import drawn
from limner.generators.heads.head import Contexts, SamplingOptions, guide
from limner.generators.sequence import initialise
from limner.nn import rope
from limner.nn.blocks import Context, llama_blocks
from limner.nn.norms import RmsNorm
from limner.tokenizers.quantizers.digits import compose, decompose
from limner.types import Ids, Rng


class DigitEmbedding(nn.Module):
    """Ids to vectors: a table per digit, joined and projected; ``bias`` of the projection."""

    def __init__(self, radices: Sequence[int], width: int, *, bias: bool = True) -> None:
        super().__init__()
        self.radices = tuple(radices)
        tables = [nn.Embedding(radix, width) for radix in radices]
        for table in tables:
            nn.init.normal_(table.weight, std=0.02)
        self.tables = nn.ModuleList(tables)
        self.join = nn.Linear(len(radices) * width, width, bias)

    def forward(self, ids: Ids) -> Float[Tensor, "b n d"]:
        digits = decompose(ids, self.radices).unbind(-1)
        return self.join(torch.cat([table(digit) for table, digit in zip(self.tables, digits, strict=True)], -1))


class DigitHead(nn.Module, ABC):
    """Ids by the logits of their digits.

    Args:
        radices: of the digits, the first one drawn first.
        width: of contexts and embeddings.
        bias: of the embedding's projection.
    """

    def __init__(self, radices: Sequence[int], width: int, *, bias: bool) -> None:
        super().__init__()
        self.radices = tuple(radices)
        self.embed = DigitEmbedding(radices, width, bias=bias)
        self.outputs = nn.ModuleList(nn.Linear(width, radix, bias=False) for radix in radices)

    @abstractmethod
    def logits(self, contexts: Contexts, digits: Int[Tensor, "b m g"]) -> list[Float[Tensor, "b m v"]]:
        """Of the first digits, one more than are given of each token."""

    def loss(self, contexts: Contexts, tokens: Ids, rng: Rng) -> Float[Tensor, "b m"]:
        """Cross-entropy in nats, the mean over digits."""
        digits = decompose(tokens, self.radices)
        found = self.logits(contexts, digits[..., :-1])
        losses = [
            functional.cross_entropy(logits.transpose(1, 2), digits[..., place], reduction="none")
            for place, logits in enumerate(found)
        ]
        return torch.stack(losses).mean(0)

    def blank(self, batch: int, count: int) -> Ids:
        """Placeholders of tokens not yet drawn."""
        return torch.zeros(batch, count, dtype=torch.long)

    def sample(self, contexts: Contexts, guided: bool, options: SamplingOptions, rng: Rng) -> Int[Tensor, "rows m"]:
        """Digit by digit, each under guidance, temperature and cuts."""
        digits = torch.zeros(len(contexts) // (2 if guided else 1), contexts.shape[1], 0, dtype=torch.long)
        digits = digits.to(contexts.device)
        for _ in self.radices:
            logits = self.logits(contexts, torch.cat([digits] * (2 if guided else 1)))[-1]
            logits = guide(logits, options.guidance) if guided else logits
            digits = torch.cat([digits, drawn(logits, options, rng)[..., None]], -1)
        return compose(digits, self.radices)


class ParallelDigitHead(DigitHead):
    """Every digit from the context alone, by a linear layer of its own (ELM, Liu et al., arXiv:2410.16257, Section 3.2:
    a token's sub-codes are drawn at once)."""

    def logits(self, contexts: Contexts, digits: Int[Tensor, "b m g"]) -> list[Float[Tensor, "b m v"]]:
        return [output(contexts).float() for _, output in zip(range(digits.shape[-1] + 1), self.outputs, strict=False)]


class FactorizedHead(DigitHead):
    """Ids digit by digit, each known to the next.

    Args:
        radices: of the digits, the first one drawn first.
        width: of contexts, embeddings and blocks.
        depth, heads, hidden: of the blocks, which are Llama's.
        columns: of the grid, by whose first places the authors turn queries and keys: a digit's place is that of the
            token so many along, and the context has none, nor any direction.
        dropout: after every attention and SwiGLU.
    """

    table: Tensor

    def __init__(
        self,
        radices: Sequence[int],
        width: int,
        *,
        depth: int,
        heads: int,
        hidden: int,
        columns: int = 16,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(radices, width, bias=True)
        count, channels = len(radices), width // heads
        self.blocks = llama_blocks(depth, width, heads, hidden=hidden, dropout=dropout)
        self.norm = RmsNorm(width)
        places = rope.grid(-(-count // columns), columns, channels)[: count - 1]
        self.register_buffer("table", torch.cat([0 * rope.nowhere(1, channels), places]), persistent=False)
        initialise(self)

    def logits(self, contexts: Contexts, digits: Int[Tensor, "b m g"]) -> list[Float[Tensor, "b m v"]]:
        line = torch.stack([contexts, *self.known(digits)], 2)
        count = line.shape[2]
        mask = torch.ones(count, count, dtype=torch.bool, device=line.device).tril()
        states = self.blocks(rearrange(line, "b m g d -> (b m) g d"), Context(mask, rope.Rotary(self.table[:count])))
        states = rearrange(self.norm(states), "(b m) g d -> g b m d", b=len(contexts))
        return [output(state).float() for output, state in zip(self.outputs, states, strict=False)]

    def known(self, digits: Int[Tensor, "b m g"]) -> list[Float[Tensor, "b m d"]]:
        """What the blocks read of digits that are known."""
        return [table(digit) for table, digit in zip(self.embed.tables, digits.unbind(-1), strict=False)]
