"""The block, the stack and its seam."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from limner.nn import rope
from limner.nn.blocks import (
    Attention,
    Block,
    Context,
    LayerHook,
    Modulation,
    PostNormBlock,
    Stack,
    hooked,
    unchanged,
    vit_blocks,
)
from limner.nn.cache import KeyValueCache
from limner.nn.transformer import Mlp, take

WIDTH, HEADS, DEPTH, COUNT = 16, 2, 3, 7
CAUSAL = torch.ones(COUNT, COUNT).tril().bool()


def parts() -> tuple[Attention, Mlp, Callable[[], nn.Module]]:
    attention = Attention(WIDTH, HEADS, norm=partial(nn.LayerNorm, eps=1e-6))
    return attention, Mlp(WIDTH, 32, functional.gelu), partial(nn.LayerNorm, WIDTH)


def modulated() -> Stack:
    stack = Stack(Block(*parts(), modulation=nn.Linear(WIDTH, 6 * WIDTH)) for _ in range(DEPTH))
    for block in stack:
        nn.init.normal_(block.modulation.weight, std=0.3)
    return stack


def post_norm() -> Stack:
    return Stack(PostNormBlock(*parts()) for _ in range(DEPTH))


BUILDS = [partial(vit_blocks, DEPTH, WIDTH, HEADS), modulated, post_norm]


def inputs(build: Callable[[], Stack]) -> tuple[Stack, Tensor, Context]:
    """A stack, states, and a context of all that this stack can read."""
    torch.manual_seed(0)
    stack = build()
    condition = torch.randn(2, COUNT, WIDTH)
    context = Context(
        CAUSAL,
        rotate=rope.Rotary(rope.line(COUNT, WIDTH // HEADS)),
        modulation=(lambda layer: stack[layer].modulate(condition)) if build is modulated else None,
    )
    return stack, torch.randn(2, COUNT, WIDTH), context


def by_hand(stack: Stack, x: Tensor, context: Context) -> Tensor:
    for layer, block in enumerate(stack):
        x = block(x, context, layer)
    return x


@pytest.mark.parametrize("build", BUILDS)
@torch.no_grad()
def test_a_stack_runs_its_blocks_and_an_unchanged_seam_is_bit_equal(build: Callable[[], Stack]) -> None:
    stack, x, context = inputs(build)
    expected = by_hand(stack, x, context)
    assert torch.equal(stack(x, context), expected)
    with hooked(stack, unchanged):
        assert torch.equal(stack(x, context), expected)
    states = list(stack.states(x, context))
    assert len(states) == DEPTH
    assert torch.equal(states[-1], expected)
    assert torch.equal(states[0], stack[0](x, context))


@torch.no_grad()
def test_hooks_run_in_the_order_in_which_they_were_bound_and_go_with_their_context() -> None:
    stack, x, _ = inputs(BUILDS[0])
    calls: list[tuple[str, int]] = []

    def add(name: str, factor: float) -> LayerHook:
        def hook(layer: int, x: Tensor, context: Context) -> tuple[Tensor, Context]:
            calls.append((name, layer))
            return factor * x, context

        return hook

    with hooked(stack, add("outer", 2.0)):
        with hooked(stack, add("inner", 3.0)):
            stack(x)
        assert calls == [(name, layer) for layer in range(DEPTH) for name in ("outer", "inner")]
        calls.clear()
        stack(x)
        assert calls == [("outer", layer) for layer in range(DEPTH)]
    with pytest.raises(ZeroDivisionError), hooked(stack, lambda layer, x, context: (x / (1 // 0), context)):
        stack(x)
    assert stack.between is unchanged


def test_a_second_stack_counts_its_layers_on() -> None:
    stack = Stack([nn.Identity()], first=4)
    with hooked(stack, lambda layer, x, context: (x, context)):
        assert [layer for layer, _ in enumerate(stack, stack.first)] == [4]


@pytest.mark.parametrize("build", BUILDS)
@torch.no_grad()
def test_tokens_dropped_before_a_layer_are_tokens_that_later_layers_never_had(build: Callable[[], Stack]) -> None:
    """Mask, rotation and modulation follow the tokens that are left."""
    stack, x, context = inputs(build)
    kept = torch.tensor([[0, 2, 3, 6], [1, 2, 4, 5]])

    def drop(layer: int, x: Tensor, context: Context) -> tuple[Tensor, Context]:
        return (take(x, kept), context.at(kept)) if layer == 1 else (x, context)

    with hooked(stack, drop):
        found = stack(x, context)
    first = stack[0](x, context)
    for row in range(2):
        alone = context._replace(
            mask=CAUSAL[kept[row]][:, kept[row]],
            rotate=rope.Rotary(rope.line(COUNT, WIDTH // HEADS)[kept[row]]),
            modulation=context.modulation
            and (lambda layer, row=row: Modulation(*(p[row : row + 1, kept[row]] for p in context.modulation(layer)))),
        )
        y = first[row : row + 1, kept[row]]
        for layer in (1, 2):
            y = stack[layer](y, alone, layer)
        torch.testing.assert_close(found[row : row + 1], y, rtol=0, atol=1e-6)


@pytest.mark.parametrize("build", BUILDS)
@torch.no_grad()
def test_branches_are_skipped_and_keys_hidden_in_one_layer_alone(build: Callable[[], Stack]) -> None:
    stack, x, context = inputs(build)
    whole = ("attn", "mlp")

    def skip(layer: int, x: Tensor, context: Context) -> tuple[Tensor, Context]:
        assert context.skip == ()
        return x, context._replace(skip=whole if layer == 1 else ())

    with hooked(stack, skip):
        assert torch.equal(stack(x, context), stack[2](stack[0](x, context), context, 2))

    hidden = torch.zeros(COUNT, COUNT, dtype=torch.bool)
    hidden[1:, 0] = True

    def knock_out(layer: int, x: Tensor, context: Context) -> tuple[Tensor, Context]:
        return x, context._replace(hide=hidden) if layer == 1 else context

    with hooked(stack, knock_out):
        found = stack(x, context)
    expected = stack[0](x, context)
    expected = stack[1](expected, context._replace(mask=CAUSAL & ~hidden), 1)
    assert torch.equal(found, stack[2](expected, context, 2))


def test_what_is_skipped_is_not_computed() -> None:
    stack, x, context = inputs(BUILDS[0])
    computed: list[str] = []
    for name in ("attn", "mlp"):
        getattr(stack[1], name).register_forward_hook(lambda *_, name=name: computed.append(name))
    with hooked(stack, lambda layer, x, context: (x, context._replace(skip=("mlp",)))):
        stack(x, context)
    assert computed == ["attn"]


@pytest.mark.parametrize("build", BUILDS)
@torch.no_grad()
def test_weights_are_those_with_which_values_are_summed(build: Callable[[], Stack]) -> None:
    """By a value that is one channel per token, attention gives its own weights away; with a cache or without."""
    stack, x, context = inputs(build)
    block = stack[1]
    weights = block.weights(x, context, 1)
    assert weights.shape == (2, HEADS, COUNT, COUNT)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, HEADS, COUNT))
    assert not weights.masked_select(~CAUSAL).any()
    assert torch.equal(block.weights(x, context, 1, slice(-1, None)), weights[:, :, -1:])

    given: list[Tensor] = []
    block.attn.proj.register_forward_hook(lambda module, args, output: given.append(args[0]))
    block(x, context, 1)
    normed = x if build is post_norm else block.norm1(x)
    if context.modulation is not None:
        made = context.modulation(1)
        normed = normed * (1 + made.scale1) + made.shift1
    value = block.attn.parts(normed, context)[2]
    torch.testing.assert_close(given[0], (weights @ value).transpose(1, 2).flatten(2), rtol=0, atol=1e-6)


@torch.no_grad()
def test_weights_reach_what_a_cache_holds_and_leave_it_as_it_is() -> None:
    stack, x, _ = inputs(BUILDS[0])
    cache = KeyValueCache(COUNT, DEPTH)
    stack(x[:, :5], Context(CAUSAL[:5, :5], cache=cache))
    new = Context(CAUSAL[5:], cache=cache)
    weights = stack[0].weights(x[:, 5:], new, 0)
    assert cache.length(0) == 5
    torch.testing.assert_close(weights, stack[0].weights(x, Context(CAUSAL))[:, :, 5:], rtol=0, atol=1e-6)
