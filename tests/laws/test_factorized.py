"""Heads of ids in digits: the parts of an id are one distribution, drawn from and learned as such."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from limner.generators.heads.factorized import DigitHead, FactorizedHead, ParallelDigitHead
from limner.generators.heads.head import SamplingOptions
from limner.tokenizers.quantizers.digits import compose, decompose
from limner.tokenizers.quantizers.factorized import overlap_of
from limner.types import Rng

RADICES, WIDTH = (3, 2, 4), 16
EVERY = torch.arange(24)


def one_after_the_other() -> FactorizedHead:
    return FactorizedHead(RADICES, WIDTH, depth=1, heads=2, hidden=24)


def at_once() -> ParallelDigitHead:
    return ParallelDigitHead(RADICES, WIDTH, bias=False)


@pytest.fixture(params=[one_after_the_other, at_once])
def head(request: pytest.FixtureRequest) -> DigitHead:
    torch.manual_seed(0)
    made: DigitHead = request.param().eval()
    for weight in made.parameters():
        torch.nn.init.normal_(weight, std=0.5)
    return made


def shares(head: DigitHead, context: Tensor) -> Tensor:
    """Probability of every id given one context, by the chain rule."""
    digits = decompose(EVERY, RADICES)[None]
    logits = head.logits(context.expand(1, len(EVERY), -1), digits[..., :-1])
    parts = [one.log_softmax(-1).gather(-1, digits[..., [i]])[..., 0] for i, one in enumerate(logits)]
    return torch.stack(parts).sum(0)[0].exp()


@torch.no_grad()
def test_all_ids_together_are_certain_and_the_loss_is_their_logarithm(head: DigitHead) -> None:
    context = torch.randn(1, 1, WIDTH)
    found = shares(head, context)
    assert found.sum().item() == pytest.approx(1.0, abs=1e-5)
    losses = head.loss(context.expand(1, 24, -1), EVERY[None], Rng(0))[0]
    torch.testing.assert_close(-losses * len(RADICES), found.log())


@torch.no_grad()
def test_drawn_ids_are_as_frequent_as_they_are_likely(head: DigitHead) -> None:
    context = torch.randn(1, 1, WIDTH)
    drawn = head.sample(context.expand(1, 4000, -1), False, SamplingOptions(), Rng(0))
    frequent = torch.bincount(drawn[0], minlength=24) / 4000
    assert (frequent - shares(head, context)).abs().max() < 0.03


@torch.no_grad()
def test_a_digit_reads_those_before_it_alone_and_rows_are_drawn_one_by_one(head: DigitHead) -> None:
    contexts, digits = torch.randn(2, 3, WIDTH), decompose(torch.randint(24, (2, 3)), RADICES)
    for place, radix in enumerate(RADICES[:-1]):
        other = digits.clone()
        other[..., place] = (other[..., place] + 1) % radix
        pairs = zip(head.logits(contexts, digits[..., :-1]), head.logits(contexts, other[..., :-1]), strict=True)
        same = [torch.equal(one, two) for one, two in pairs]
        apart = isinstance(head, ParallelDigitHead)
        assert same == [apart or later <= place for later in range(len(RADICES))]
    for guidance in (1.0, 3.0):
        options, both = SamplingOptions(guidance=guidance), torch.cat([contexts, torch.zeros_like(contexts)])
        together = head.sample(both, True, options, Rng([5, 6]))
        alone = [head.sample(both[[i, i + 2]], True, options, Rng([5 + i])) for i in range(2)]
        assert torch.equal(together, torch.cat(alone))
    plain = head.sample(contexts, False, SamplingOptions(), Rng([5, 6]))
    assert torch.equal(plain, head.sample(both, True, SamplingOptions(), Rng([5, 6])))


def test_overlap_is_one_for_equal_directions_and_none_for_right_angles() -> None:
    x = torch.tensor([1.0, 0.0]).reshape(1, 2, 1, 1)
    y = torch.tensor([0.0, 3.0]).reshape(1, 2, 1, 1)
    assert overlap_of([x, -2 * x]).item() == pytest.approx(1.0)
    assert overlap_of([x, y]).item() == 0.0
    assert overlap_of([x, -x, y]).item() == pytest.approx(1 / 3)
    assert overlap_of([x]).item() == 0.0


def test_ids_are_their_digits() -> None:
    assert torch.equal(compose(decompose(EVERY, RADICES), RADICES), EVERY)
