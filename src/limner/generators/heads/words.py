"""A language model's own logits as a head: text, and pictures whose ids are rows of the same table (Liquid)."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from limner.generators.heads.categorical import SoftmaxHead
from limner.languages.language import LanguageModel
from limner.nn.borrowed import Borrowed
from limner.types import Rng


class WordHead(SoftmaxHead):
    """Subwords by the language model's logits; embedded by its table.

    Args:
        language: whose; not part of this module's state.
    """

    def __init__(self, language: LanguageModel) -> None:
        super().__init__()
        self.borrowed = Borrowed(language)

    def embed(self, ids: Int[Tensor, "b n"]) -> Float[Tensor, "b n d"]:
        """Rows of the table."""
        return self.borrowed.module.embed(ids)

    def logits(self, contexts: Float[Tensor, "b m d"]) -> Float[Tensor, "b m v"]:
        """Unnormalised log-probability of every subword."""
        return self.borrowed.module.logits(contexts).float()

    def loss(self, contexts: Float[Tensor, "b m d"], tokens: Int[Tensor, "b m"], rng: Rng) -> Float[Tensor, "b m"]:
        """Cross-entropy in nats; over rows that lie one after the other, which is faster for large tables."""
        logits = self.logits(contexts).flatten(0, 1)
        return functional.cross_entropy(logits, tokens.flatten(), reduction="none").view_as(tokens)
