"""Text by the sampling loop: a causal language model as a generator whose sequence grows until an id ends it.

    p(w_i | prompt, w_1 .. w_i-1) = softmax(logits_i / T)       prompt 1 .. k, then the subwords in raster order

The prompts of a batch may differ in length: row i is padded behind its prompt, and its subwords are counted on from
there. Temperature, top-k and top-p are those of `limner.generators.heads.head.SamplingOptions`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn
from torch.nn import functional

from limner.decode.decoder import Decoder
from limner.decode.schedules import constant
from limner.decode.step import until
from limner.generators.backbones.backbone import Contexts, Embedded
from limner.generators.conditions import Conditioning
from limner.generators.generator import Generator
from limner.generators.heads.head import SamplingOptions
from limner.generators.heads.words import Combine, WordHead
from limner.generators.orders import Raster
from limner.languages.language import LanguageModel, Vectors
from limner.nn.cache import Rewindable
from limner.nn.transformer import take
from limner.types import Layout, Rng, Steps

GREEDY = SamplingOptions(temperature=0.0)


def complete(
    language: LanguageModel,
    x: Vectors,
    visible: Bool[Tensor, "b k k"],
    lengths: Int[Tensor, "b"],
    *,
    stop: int,
    limit: int,
    options: SamplingOptions = GREEDY,
    rng: Rng | None = None,
    combine: Combine | None = None,
) -> Int[Tensor, "rows written"]:
    """The subwords that follow prompts.

    Args:
        language: predicts.
        x: prompts as input vectors, row i padded on the right beyond ``lengths[i]``.
        visible: which positions of the prompts see which.
        lengths: positions of each prompt, at least 1.
        stop: id that ends a row; rows are filled with it after their end.
        limit: most subwords of a row.
        options: the likeliest subword each time, if left out; guidance above 1 needs ``combine``.
        rng: with one seed per row, a batch equals its rows alone; needed above temperature 0.
        combine: makes one answer of two prompts, see `limner.decode.contrast`: the second half of the rows are the
            other prompts of the first, and half as many rows are written.
    """
    assert (combine is None) == (options.guidance == 1.0), "two prompts are combined by guidance above 1"
    own, other = (x, None) if combine is None else x.chunk(2)
    generator = Generator(
        layout=Layout(((limit,),)),
        order=Raster(),
        backbone=GrowingText(language, visible, lengths, limit),
        head=WordHead(language, combine),
        condition=PromptVectors(x.shape[1], other),
    )
    assert rng is not None or options.temperature == 0, "a temperature above 0 needs an rng"
    decoder = Decoder(generator, options, guidance=constant, step=until(stop))
    ids = decoder(own, Rng(0, x.device) if rng is None else rng)
    before_end = (ids != stop).cumprod(1).sum(1)
    return ids[:, : int(before_end.max()) + 1]


class GrowingText(nn.Module):
    """A language model as a `limner.generators.backbones.backbone.Backbone` in raster order.

    Args:
        language: the model.
        visible, lengths: of the prompts, see `complete`.
        limit: most subwords of a row.
    """

    def __init__(
        self, language: LanguageModel, visible: Bool[Tensor, "b k k"], lengths: Int[Tensor, "b"], limit: int
    ) -> None:
        super().__init__()
        self.language, self.visible, self.lengths, self.limit = language, visible, lengths, limit
        self.width = language.width

    def cache(self) -> Rewindable:
        """Room for prompts and subwords."""
        return self.language.cache(self.visible.shape[1] + self.limit)

    def forward(
        self,
        x: Embedded,
        steps: Steps,
        condition: Conditioning,
        targets: Int[Tensor, "b m"],
        cache: Rewindable | None = None,
    ) -> Contexts:
        prompt, known = condition.prefix.shape[1], int((steps[0] < steps[0].max()).sum())
        done = cache.length(0) if cache is not None else 0
        index, lengths = torch.arange(prompt + known, device=x.device), self.lengths[:, None]
        positions = torch.where(index < prompt, index, lengths + index - prompt)
        hidden = self.language(
            torch.cat([condition.prefix, x[:, :known]], dim=1)[:, done:],
            positions[:, done:],
            self._visible(index, done),
            cache,
        )
        predicting = torch.where(targets == 0, lengths - 1, prompt + targets - 1)
        return take(hidden, predicting - done)

    def _visible(self, index: Int[Tensor, "total"], done: int) -> Bool[Tensor, "b new total"]:
        """Prompts as they say; a subword sees its row's prompt, the subwords before it and itself."""
        prompt, rows = self.visible.shape[1], index[done:, None]
        written = (index < self.lengths[:, None, None]) | ((index >= prompt) & (index <= rows))
        if done >= prompt:
            return written
        return torch.cat(
            [functional.pad(self.visible[:, done:], (0, len(index) - prompt)), written[:, prompt - done :]], dim=1
        )


@dataclass
class PromptVectors:
    """Prompts, which are vectors already, as a `limner.generators.conditions.Condition` of ``count`` positions; where
    the condition is dropped, ``other`` prompts stand instead."""

    count: int
    other: Vectors | None = None

    def __call__(self, condition: Vectors, dropped: Bool[Tensor, "b"]) -> Conditioning:
        if self.other is None:
            return Conditioning(condition)
        other = self.other.repeat(len(condition) // len(self.other), 1, 1)
        return Conditioning(torch.where(dropped[:, None, None], other, condition))
