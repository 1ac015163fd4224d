"""The recurrence: what it computes, in chunks of any size, and from a cache."""

from __future__ import annotations

import pytest
import torch

from limner.nn.blocks import Context
from limner.nn.cache import KeyValueCache
from limner.nn.ssm import Mamba2, scan

SIZES = {"b": 2, "t": 11, "h": 3, "p": 4, "n": 5}


def inputs() -> tuple[torch.Tensor, ...]:
    torch.manual_seed(0)
    b, t, h, p, n = SIZES.values()
    return torch.randn(b, t, h, p), -torch.rand(b, t, h), torch.randn(b, t, n), torch.randn(b, t, n)


@pytest.mark.parametrize("chunk", [1, 3, 64])
def test_a_scan_is_the_recurrence(chunk: int) -> None:
    x, decay, key, query = inputs()
    state = torch.randn(2, 3, 4, 5)
    found, end = scan(x, decay, key, query, state, chunk)
    wanted = []
    for t in range(x.shape[1]):
        state = decay[:, t].exp()[..., None, None] * state + x[:, t][..., None] * key[:, t][:, None, None]
        wanted.append((state * query[:, t][:, None, None]).sum(-1))
    torch.testing.assert_close(found, torch.stack(wanted, 1))
    torch.testing.assert_close(end, state)


def test_no_position_depends_on_a_later_one() -> None:
    torch.manual_seed(0)
    mixer, x = Mamba2(32, head=16, state=8), torch.randn(1, 9, 32, requires_grad=True)
    (gradient,) = torch.autograd.grad(mixer(x)[:, 4].sum(), x)
    assert gradient[:, :5].abs().sum(-1).min() > 0
    assert not gradient[:, 5:].any()


def test_the_cached_state_goes_on_and_is_taken_back() -> None:
    torch.manual_seed(0)
    mixer, x = Mamba2(32, head=16, state=8), torch.randn(2, 12, 32)
    cache = KeyValueCache(0, 1)
    context = Context(cache=cache)
    first = [mixer(x[:, part], context) for part in (slice(0, 1), slice(1, 5))]
    mixer(torch.randn(2, 3, 32), context)  # a draft that is rejected
    cache.keep(5)
    parts = [*first, mixer(x[:, 5:], context)]
    torch.testing.assert_close(torch.cat(parts, 1), mixer(x))


def test_channels_that_do_not_divide_are_refused() -> None:
    with pytest.raises(ValueError, match="do not divide"):
        Mamba2(24, head=64)
