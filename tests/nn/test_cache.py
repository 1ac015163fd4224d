"""Caches: extend, keep, extend equals never having extended."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

from limner.errors import InputError
from limner.nn.blocks import Context, vit_blocks
from limner.nn.cache import SNAPSHOTS, Cache, GrowingCache, KeyValueCache

DEPTH, ROOM = 2, 12
CACHES: list[Callable[[], KeyValueCache]] = [partial(KeyValueCache, ROOM, DEPTH), GrowingCache]


def heads(count: int, seed: int, rows: int = 2) -> tuple[Tensor, Tensor]:
    draws = torch.randn(2, rows, 3, count, 4, generator=torch.Generator().manual_seed(seed))
    return draws[0], draws[1]


def assert_holds(cache: KeyValueCache, layer: int, key: Tensor, value: Tensor) -> None:
    assert cache.length(layer) == key.shape[2]
    found = cache.read(layer)
    assert found is not None
    assert torch.equal(found[0], key)
    assert torch.equal(found[1], value)


@pytest.mark.parametrize("build", CACHES)
@pytest.mark.parametrize("kept", [0, 2, 4, 5, 7, 9])
def test_extend_keep_extend_equals_never_having_extended(build: Callable[[], KeyValueCache], kept: int) -> None:
    cache, plain = build(), build()
    assert isinstance(cache, Cache)
    before, drafted, after = heads(4, 0), heads(5, 1), heads(3, 2)
    for layer in range(DEPTH):
        cache.extend(layer, *before)
        cache.extend(layer, *drafted)
    cache.keep(kept)
    everything = [torch.cat(both, 2)[:, :, :kept] for both in zip(before, drafted, strict=True)]
    for layer in range(DEPTH):
        if kept:
            plain.extend(layer, *everything)
        assert cache.length(layer) == kept
        assert (cache.read(layer) is None) == (kept == 0)
        found = cache.extend(layer, *after)
        expected = plain.extend(layer, *after)
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
        assert_holds(cache, layer, *expected)


@pytest.mark.parametrize("build", CACHES)
def test_layers_have_their_own_length(build: Callable[[], KeyValueCache]) -> None:
    """A layer that was skipped, or whose tokens were dropped, holds fewer; what it never had cannot be forgotten."""
    cache = build()
    cache.extend(0, *heads(5, 0))
    cache.extend(1, *heads(2, 1))
    assert (cache.length(0), cache.length(1), cache.length(7)) == (5, 2, 0)
    cache.keep(3)
    assert (cache.length(0), cache.length(1)) == (3, 2)
    assert_holds(cache, 1, *heads(2, 1))


@pytest.mark.parametrize("build", CACHES)
def test_single_positions_of_each_row_are_kept(build: Callable[[], KeyValueCache]) -> None:
    cache, (key, value), kept = build(), heads(6, 0), torch.tensor([[0, 2, 5], [1, 3, 4]])
    for layer in range(DEPTH):
        cache.extend(layer, key, value)
    cache.keep(kept)
    expected = [torch.stack([part[row, :, kept[row]] for row in range(2)]) for part in (key, value)]
    for layer in range(DEPTH):
        assert_holds(cache, layer, *expected)


@pytest.mark.parametrize("build", CACHES)
def test_rows_are_kept_and_repeated(build: Callable[[], KeyValueCache]) -> None:
    cache, (key, value), rows = build(), heads(4, 0), torch.tensor([1, 1, 0])
    cache.extend(0, key, value)
    cache.select(rows)
    assert_holds(cache, 0, key[rows], value[rows])
    more = heads(2, 3, rows=3)
    assert torch.equal(cache.extend(0, *more)[0], torch.cat([key[rows], more[0]], 2))


@pytest.mark.parametrize("build", CACHES)
def test_later_calls_may_bring_the_first_rows_only(build: Callable[[], KeyValueCache]) -> None:
    """And, taken back, leave the others as they were."""
    cache, (key, value), one = build(), heads(4, 0), heads(2, 1, rows=1)
    cache.extend(0, key, value)
    assert torch.equal(cache.extend(0, *one)[0], torch.cat([key[:1], one[0]], 2))
    cache.keep(4)
    assert torch.equal(cache.extend(0, *heads(1, 2))[1], torch.cat([value, heads(1, 2)[1]], 2))


def test_gradients_pass_a_growing_cache() -> None:
    cache, key = GrowingCache(), heads(3, 0)[0].requires_grad_()
    cache.extend(0, key, key)
    cache.extend(0, *heads(2, 1))[0].square().sum().backward()
    assert key.grad is not None
    assert torch.equal(key.grad, 2 * key)


def test_memory_is_one_tensor_of_the_room_asked_for() -> None:
    cache = KeyValueCache(ROOM, DEPTH)
    cache.extend(0, *heads(3, 0))
    first = cache.read(0)
    cache.extend(1, *heads(3, 1))
    second = cache.read(1)
    assert first is not None
    assert second is not None
    assert first[0].untyped_storage().data_ptr() == second[1].untyped_storage().data_ptr()
    assert first[0].untyped_storage().nbytes() == DEPTH * 2 * 2 * 3 * ROOM * 4 * 4


def test_a_cache_whose_room_is_used_up_grows_and_forgets_nothing() -> None:
    cache, first, second = KeyValueCache(4, 1), heads(4, 0), heads(3, 1)
    cache.extend(0, *first)
    cache.extend(0, *second)
    assert_holds(cache, 0, *(torch.cat(both, 2) for both in zip(first, second, strict=True)))


def test_a_recurrent_state_is_rolled_back_to_the_end_of_a_pass() -> None:
    """A running sum, as a state-space layer would have it."""
    cache, x = KeyValueCache(0, 1), torch.arange(10.0)

    def step(first: int, last: int) -> Tensor:
        before = cache.state(0)
        total = x[first:last].sum() + (0.0 if before is None else before)
        cache.advance(0, last - first, total)
        return total

    assert cache.state(0) is None
    step(0, 4)
    step(4, 6)
    step(6, 9)
    assert cache.length(0) == 9
    cache.keep(6)
    assert step(6, 8) == x[:8].sum()
    cache.keep(5)  # no pass ended there
    assert (cache.length(0), cache.state(0)) == (4, x[:4].sum())
    with pytest.raises(InputError, match="single positions"):
        cache.keep(torch.tensor([[0, 1]]))
    cache = KeyValueCache(0, 1)
    cache.advance(0, 3, x[:3].sum())
    cache.keep(0)
    assert cache.state(0) is None
    for end in range(2 * SNAPSHOTS):
        cache.advance(0, 1, end)
    cache.keep(SNAPSHOTS - 1)  # too long ago: the next pass begins anew
    assert (cache.length(0), cache.state(0)) == (0, None)


@pytest.mark.parametrize("build", CACHES)
@torch.no_grad()
def test_a_stack_goes_on_after_a_draft_as_if_it_had_never_been(build: Callable[[], KeyValueCache]) -> None:
    torch.manual_seed(0)
    stack, x, draft, mask = vit_blocks(DEPTH, 16, 2), torch.randn(2, 8, 16), torch.randn(2, 3, 16), torch.ones(8, 8)
    mask = mask.tril().bool()
    cache = build()
    stack(x[:, :4], Context(mask[:4, :4], cache=cache))
    stack(draft, Context(mask[4:7, :7], cache=cache))
    cache.keep(4)
    found = stack(x[:, 4:], Context(mask[4:], cache=cache))
    torch.testing.assert_close(found, stack(x, Context(mask))[:, 4:], rtol=0, atol=1e-6)
