"""Drawings of ids that were recorded: our sampler is given the uniform numbers that make it draw the same."""

from __future__ import annotations

import torch
from tests.parity.goldens import Replay, agree
from torch import Tensor, nn

from limner.generators.heads.categorical import SoftmaxHead, cut
from limner.generators.heads.head import SamplingOptions, guide
from limner.types import Rng


def landing(probabilities: Tensor, ids: Tensor) -> Tensor:
    """Uniform numbers in the middle of these ids' parts of [0, 1), the likeliest id's first."""
    ordered, order = probabilities.double().sort(dim=-1, descending=True, stable=True)
    edges = ordered.cumsum(-1)
    place = (order == ids[..., None]).long().argmax(-1, keepdim=True)
    assert ordered.gather(-1, place).gt(0).all(), "an id was drawn that we had cut off"
    return ((edges - ordered / 2).gather(-1, place) / edges[..., -1:])[..., 0].float()


class Replaying(nn.Module):
    """A head that notes its logits and probabilities, and is made to draw ``ids``, given in the order of drawing."""

    def __init__(self, head: SoftmaxHead, ids: Tensor) -> None:
        super().__init__()
        self.head, self.embed, self.blank, self.ids = head, head.embed, head.blank, ids
        self.raw: list[Tensor] = []
        self.probabilities: list[Tensor] = []
        self.strengths: list[float] = []
        self.drawn = 0

    def sample(self, contexts: Tensor, guided: bool, options: SamplingOptions, rng: Rng) -> Tensor:
        raw = self.head.logits(contexts)
        logits = guide(raw, options.guidance) if guided else raw
        probabilities = cut(logits / options.temperature, options).softmax(-1)
        ids = self.ids[:, self.drawn : self.drawn + raw.shape[1]]
        drawn = self.head.sample(contexts, guided, options, Replay(uniform=[landing(probabilities, ids)]))
        self.drawn += raw.shape[1]
        self.raw.append(raw)
        self.probabilities.append(probabilities)
        self.strengths.append(options.guidance)
        return drawn

    def compare(self, raw: Tensor, probabilities: Tensor) -> None:
        """Assert that all tokens' logits and probabilities are those recorded, in the order of drawing.

        The official samplers compute the unconditional logits even where guidance is off and they have no say.
        """
        agree(torch.cat(self.probabilities, dim=1), probabilities)
        start = 0
        for ours, strength in zip(self.raw, self.strengths, strict=True):
            rows, end = len(ours), start + ours.shape[1]
            agree(ours, raw[:rows, start:end])
            assert rows == len(raw) or strength == 1.0
            start = end
        assert start == raw.shape[1]
