"""A language model's own logits as a head: text, and pictures whose ids are rows of the same table (Liquid)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from limner.generators.heads.categorical import SoftmaxHead
from limner.generators.heads.head import SamplingOptions
from limner.languages.language import LanguageModel
from limner.nn.borrowed import Borrowed
from limner.types import Rng

Logits = Float[Tensor, "*rows v"]
Combine: TypeAlias = Callable[[Logits, Logits, float], Logits]


class WordHead(SoftmaxHead):
    """Subwords by the language model's logits; embedded by its table.

    Args:
        language: whose; not part of this module's state.
        combine: logits of a row, those of its other prompt, and the strength of guidance, to the logits that are drawn
            from; None is guidance itself.
    """

    def __init__(self, language: LanguageModel, combine: Combine | None = None) -> None:
        super().__init__()
        self.borrowed, self.combine = Borrowed(language), combine

    def embed(self, ids: Int[Tensor, "b n"]) -> Float[Tensor, "b n d"]:
        """Rows of the table."""
        return self.borrowed.module.embed(ids)

    def logits(self, contexts: Float[Tensor, "b m d"]) -> Float[Tensor, "b m v"]:
        """Unnormalised log-probability of every subword."""
        return self.borrowed.module.logits(contexts).float()

    def guided_logits(
        self, contexts: Float[Tensor, "b m d"], guided: bool, options: SamplingOptions
    ) -> Float[Tensor, "rows m v"]:
        """Logits with and without the condition, combined; before temperature and cuts."""
        if self.combine is None or not guided:
            return super().guided_logits(contexts, guided, options)
        own, other = self.logits(contexts).chunk(2)
        return self.combine(own, other, options.guidance)

    def loss(self, contexts: Float[Tensor, "b m d"], tokens: Int[Tensor, "b m"], rng: Rng) -> Float[Tensor, "b m"]:
        """Cross-entropy in nats; over rows that lie one after the other, which is faster for large tables."""
        logits = self.logits(contexts).flatten(0, 1)
        return functional.cross_entropy(logits, tokens.flatten(), reduction="none").view_as(tokens)
