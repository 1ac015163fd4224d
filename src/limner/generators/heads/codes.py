"""Heads over a codebook that the tokenizer learned, which the generator's ``embed`` reads: nothing here embeds tokens.

A `MixingHead` hands on mixtures of rows in place of one row, ``softmax((logit / T + gumbel) / tau) @ codebook``: what
is drawn next, and the picture, then change smoothly with the logits (Jang et al., arXiv:1611.01144, Eq. 2).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from limner.generators.heads.categorical import SoftmaxHead, cut, gumbel
from limner.generators.heads.head import Contexts, SamplingOptions
from limner.types import Latents, Rng

CONFIDENT = 0.02  # share of the usual deviation that the output begins with, as in the official code of VAR


class CodeHead(SoftmaxHead):
    """Ids by one linear layer, which is nearly even over all at the start."""

    def __init__(self, entries: int, width: int) -> None:
        super().__init__()
        self.embed = nn.Identity()
        self.output = nn.Linear(width, entries)
        nn.init.trunc_normal_(self.output.weight, std=CONFIDENT * (3.0 * width) ** -0.5)
        nn.init.zeros_(self.output.bias)

    def logits(self, contexts: Contexts) -> Float[Tensor, "b m v"]:
        """Unnormalised log-probability of every id."""
        return self.output(contexts).float()


class MixingHead(nn.Module):
    """Draws mixtures of rows by another head's logits.

    Args:
        head: the other; tokens to learn from stay ids.
        codebook: rows by id.
        softness: tau for a temperature T; 0 would draw single rows.
    """

    codebook: Tensor

    def __init__(self, head: SoftmaxHead, codebook: Float[Tensor, "v c"], softness: Callable[[float], float]) -> None:
        super().__init__()
        self.head, self.softness = head, softness
        self.embed = nn.Identity()
        self.register_buffer("codebook", codebook.detach(), persistent=False)

    def loss(self, contexts: Contexts, tokens: Int[Tensor, "b m"], rng: Rng) -> Float[Tensor, "b m"]:
        """The other head's."""
        return self.head.loss(contexts, tokens, rng)

    def blank(self, batch: int, count: int) -> Latents:
        """Placeholders of tokens not yet drawn."""
        return torch.zeros(batch, count, self.codebook.shape[1])

    def sample(self, contexts: Contexts, guided: bool, options: SamplingOptions, rng: Rng) -> Float[Tensor, "rows m c"]:
        """Guided logits, cut and mixed under Gumbel noise; temperature 0 takes the likeliest row."""
        logits = self.head.guided_logits(contexts, guided, options)
        noise = gumbel(rng.uniform(*logits.shape))
        if options.temperature == 0:
            return self.codebook[logits.argmax(-1)]
        logits = cut(logits, options) / options.temperature
        shares = ((logits + noise) / self.softness(options.temperature)).softmax(-1)
        return shares.to(self.codebook.dtype) @ self.codebook
