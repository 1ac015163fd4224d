"""Classification into the subwords of the caption (SuperClass, arXiv:2411.03313, Equations 1 to 3).

    L = - mean_b sum_v yhat_v log softmax(l)_v,    yhat = y w / |y w|_1,    w_v = ln((N + 1) / (n_v + 1))

y says which subwords occur, each once; n_v of the N captions seen so far hold subword v, the present batch included. A
subword of every caption weighs nothing, one never seen weighs most. N and n_v are counted online, in float64, and
belong to the model: they are saved with it, and nothing changes them in evaluation.

As the authors count: f_v sums each step's share of captions, and with G captions a step w = ln((n + 1/G) / (f_v + 1/G))
after n steps, which is the same. They leave the ids of start, end and padding in the set, where w makes them vanish as
long as every caption has them; ``drop`` takes ids out for real.

The target has as many entries as the caption, not the vocabulary, and is computed as such.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, distributed, nn

from limner.nn.whole_batch import Coupling


class SubwordFrequency(nn.Module):
    """How often subwords occur, and what they weigh.

    Args:
        vocabulary: how many subwords there are.
        drop: ids that are no part of the set.
    """

    coupling = Coupling("subwords weigh by how many captions of the batch, and of those before, hold them", 2)
    counts: Tensor
    steps: Tensor
    group: Tensor
    kept: Tensor

    def __init__(self, vocabulary: int, drop: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.register_buffer("counts", torch.zeros(1, vocabulary, dtype=torch.float64))  # f of the equation above
        self.register_buffer("steps", torch.zeros(1, 1, dtype=torch.float64))  # n
        self.register_buffer("group", torch.ones(1, 1, dtype=torch.float64))  # G, of the last step
        kept = torch.ones(vocabulary, dtype=torch.bool)
        kept[list(drop)] = False
        self.register_buffer("kept", kept, persistent=False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> SubwordFrequency:
        """Moves to other devices, but stays in float64 whatever the model is rounded to."""
        exact = {name: buffer for name, buffer in self.named_buffers() if buffer.dtype == torch.float64}
        super()._apply(fn, recurse)
        for name, buffer in exact.items():
            setattr(self, name, buffer.to(getattr(self, name).device))
        return self

    def subwords(self, ids: Int[Tensor, "b k"]) -> tuple[Int[Tensor, "b k"], Bool[Tensor, "b k"]]:
        """The ids of each caption in order, and which of them count: the first of equals, if it is not dropped."""
        ids = ids.sort(1).values
        first = torch.ones_like(ids, dtype=torch.bool)
        first[:, 1:] = ids[:, 1:] != ids[:, :-1]
        return ids, first & self.kept[ids]

    @torch.no_grad()
    def observe(self, ids: Int[Tensor, "b k"]) -> None:
        """Count a batch, of all processes where there are several."""
        ids, counted = self.subwords(ids)
        share = torch.bincount(ids[counted], minlength=self.counts.shape[1]).to(self.counts)[None] / len(ids)
        processes = 1
        if distributed.is_initialized():
            processes = distributed.get_world_size()
            distributed.all_reduce(share)
        self.counts += share / processes
        self.steps += 1
        self.group.fill_(len(ids) * processes)

    def weights(self) -> Float[Tensor, "1 v"]:
        """The inverse document frequency of every subword, in float64."""
        smooth = 1.0 / self.group
        return ((self.steps + smooth) / (self.counts + smooth)).log()

    def targets(self, ids: Int[Tensor, "b k"]) -> tuple[Int[Tensor, "b k"], Float[Tensor, "b k"]]:
        """Which subwords a caption asks for, and how much of each: shares that sum to 1, or to 0 where all weigh
        nothing."""
        ids, counted = self.subwords(ids)
        weight = self.weights()[0, ids].float() * counted
        return ids, weight / weight.sum(1, keepdim=True).clamp_min(1e-12)

    def dense(self, ids: Int[Tensor, "b k"]) -> Float[Tensor, "b v"]:
        """The targets with an entry for every subword."""
        ids, share = self.targets(ids)
        return share.new_zeros(len(ids), self.counts.shape[1]).scatter_add_(1, ids, share)

    def forward(self, logits: Float[Tensor, "b v"], ids: Int[Tensor, "b k"]) -> Float[Tensor, ""]:
        """The loss; in training mode the batch is counted first."""
        if self.training:
            self.observe(ids)
        ids, share = self.targets(ids)
        return -(share * logits.float().log_softmax(1).gather(1, ids)).sum(1).mean()
