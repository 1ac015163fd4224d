"""limner's own small language model: rotary positions, one table for reading and writing words.

Radford et al., GPT-2 (2019), with rotary positions (arXiv:2104.09864) and tied tables (arXiv:1608.05859).
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from limner.errors import InputError
from limner.languages.language import Vectors
from limner.nn import rope
from limner.nn.blocks import Attention, Block, Context, Stack
from limner.nn.cache import KeyValueCache
from limner.nn.transformer import Mlp


class LanguageTransformer(nn.Module):
    """A `limner.languages.language.LanguageModel`.

    Args:
        vocabulary: subwords there are.
        width, depth, heads: of the transformer; heads are of an even number of channels.
        length: places there are.
    """

    turns: Tensor

    def __init__(self, vocabulary: int, *, width: int, depth: int, heads: int, length: int = 512) -> None:
        super().__init__()
        if width % (2 * heads):
            raise InputError(f"{width} channels do not divide into {heads} heads of even width: choose another width")
        self.width, self.length = width, length
        self.table = nn.Embedding(vocabulary, width)

        def block() -> Block:
            qkv, proj = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
            mlp = Mlp(width, 4 * width, functional.silu)  # SiLU and LayerNorm have fused kernels on a CPU
            return Block(Attention(width, heads, qkv=qkv, proj=proj), mlp, lambda: nn.LayerNorm(width))

        self.blocks = Stack(block() for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.gain = nn.Parameter(
            torch.tensor(1.0 / width)
        )  # of logits: a position's own word, still in its state, starts at 1
        self.register_buffer("turns", rope.line(length, width // heads), persistent=False)
        nn.init.normal_(self.table.weight)
        for name, weight in self.blocks.named_parameters():
            if name.endswith(("attn.proj.weight", "mlp.fc2.weight")):  # branches start small (GPT-2, Section 2.3)
                nn.init.normal_(weight, std=0.02 * (2 * depth) ** -0.5)

    @property
    def words(self) -> Float[Tensor, "v d"]:
        """The table, live."""
        return self.table.weight

    def embed(self, ids: Int[Tensor, "b n"]) -> Vectors:
        """Rows of the table."""
        return self.table(ids)

    def forward(
        self,
        x: Vectors,
        places: Int[Tensor, "b n"],
        visible: Bool[Tensor, "b n total"],
        cache: KeyValueCache | None = None,
    ) -> Float[Tensor, "b kept d"]:
        """Last hidden states of the tokens that hooks left; raises `InputError` for places beyond ``length``."""
        if int(places.max()) >= self.length:
            raise InputError(f"a text of {int(places.max()) + 1} tokens is longer than this model's {self.length}")
        return self.norm(self.blocks(x, Context(visible[:, None], self.rotation(places), cache=cache)))

    def rotation(self, places: Int[Tensor, "b n"]) -> rope.Rotary:
        """How queries and keys at these places are turned."""
        return rope.Rotary(self.turns[places], rope.rotate_halves)

    def logits(self, hidden: Vectors) -> Float[Tensor, "b n v"]:
        """Inner products with the table."""
        return functional.linear(hidden * self.gain, self.table.weight)

    def cache(self, length: int) -> KeyValueCache:
        """Room for ``length`` tokens."""
        return KeyValueCache(length, len(self.blocks))
