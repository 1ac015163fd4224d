"""Laws that every order and every head keeps, wherever it is written: in its own module or in that of a recipe.

An order that needs no argument and a head that needs two, channels or entries and the width of a context, are found
and held to these; others get a row beside them. So are those of ``docs/add-a-system.md``.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from limner import generators, recipes
from limner.errors import InputError
from limner.generators.heads.head import Head, SamplingOptions
from limner.generators.orders import Cells, Order, Scales
from limner.types import Layout, Rng

COUNT, TOKEN, WIDTH = 16, 5, 8


PAGE = Path(__file__).resolve().parents[2] / "docs" / "add-a-system.md"


def modules() -> Iterator[ModuleType]:
    """Every module of generators and recipes, and those that the page has its reader write."""
    for package in (generators, recipes):
        for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            yield importlib.import_module(module.name)
    for number, code in enumerate(re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)):
        module = sys.modules[f"page{number}"] = ModuleType(f"page{number}")  # where dataclasses look for their own
        exec(compile(code, str(PAGE), "exec"), module.__dict__)
        yield module


def classes(*methods: str) -> list[type]:
    """Concrete classes that have these methods."""
    return [
        kind
        for module in MODULES
        for kind in vars(module).values()
        if inspect.isclass(kind) and kind.__module__ == module.__name__ and all(hasattr(kind, name) for name in methods)
        if not inspect.isabstract(kind) and not getattr(kind, "_is_protocol", False)
    ]


def needed(kind: type) -> list[str]:
    """Arguments without which there is no instance."""
    parameters = inspect.signature(kind).parameters.values()
    return [parameter.name for parameter in parameters if parameter.default is parameter.empty]


MODULES = list(modules())
ORDERS = [kind() for kind in classes("training_steps", "decoding_steps") if not needed(kind)] + [Cells((2, 2))]
PYRAMID, SQUARE = Layout(((1, 1), (1, 3), (3, 4))), Layout(((4, 4),))


def layout_of(order: Order) -> Layout:
    """`COUNT` tokens where this order draws them."""
    return PYRAMID if isinstance(order, Scales) else SQUARE


HEADS = [kind for kind in classes("loss", "sample", "blank") if len(needed(kind)) == 2]


def part(value: Any) -> Any:
    return pytest.param(value, id=getattr(value, "__name__", type(value).__name__))


# Orders


@pytest.mark.parametrize("order", [part(order) for order in ORDERS])
def test_every_picture_has_something_to_learn(order: Order) -> None:
    steps = order.training_steps(4, layout_of(order), Rng(0))
    assert steps.shape == (4, COUNT)
    assert steps.min() >= 0
    assert steps.amax(1).min() >= 1


@pytest.mark.parametrize("order", [part(order) for order in ORDERS])
def test_a_plan_reaches_every_token_once_and_every_row_alike(order: Order) -> None:
    steps = order.decoding_steps(3, layout_of(order), None, Rng(0))
    counts = torch.stack([torch.bincount(row, minlength=COUNT + 1) for row in steps])
    total = int(steps.max())
    assert counts[:, 0].eq(0).all(), "a token is never drawn"
    assert counts[:, 1 : total + 1].min() >= 1, "a step draws nothing"
    assert counts.eq(counts[0]).all(), "rows differ in how many tokens a step draws"


@pytest.mark.parametrize("order", [part(order) for order in ORDERS])
def test_the_plan_of_a_batch_is_that_of_its_pictures(order: Order) -> None:
    together = order.decoding_steps(3, layout_of(order), None, Rng([1, 2, 3]))
    for row in range(3):
        assert torch.equal(together[row : row + 1], order.decoding_steps(1, layout_of(order), None, Rng([row + 1])))


@pytest.mark.parametrize("order", [part(order) for order in ORDERS])
def test_more_steps_than_tokens_are_refused(order: Order) -> None:
    with pytest.raises(InputError, match="steps"):
        order.decoding_steps(1, layout_of(order), COUNT + 1, Rng(0))


# Heads


def made(kind: type) -> Any:
    """A head whose zero layers are not zero."""
    torch.manual_seed(0)
    head = kind(TOKEN, WIDTH)
    assert isinstance(head, Head)
    assert isinstance(head, nn.Module)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return head.eval()


def tokens_for(head: Any, batch: int, count: int) -> Tensor:
    blank = head.blank(batch, count)
    assert blank.shape[:2] == (batch, count)
    assert head.embed(blank).shape[:2] == (batch, count)
    return torch.randn(blank.shape) if blank.is_floating_point() else torch.randint(0, TOKEN, blank.shape)


@pytest.mark.parametrize("kind", [part(kind) for kind in HEADS])
def test_the_loss_of_a_token_is_its_own(kind: type) -> None:
    head = made(kind)
    tokens, contexts = tokens_for(head, 2, 3), torch.randn(2, 3, WIDTH, requires_grad=True)
    losses = head.loss(contexts, tokens, Rng(0))
    assert losses.shape == (2, 3)
    assert losses.isfinite().all()
    for row in range(2):
        for place in range(3):
            (felt,) = torch.autograd.grad(losses[row, place], contexts, retain_graph=True)
            others = felt.abs().sum(-1).clone()
            assert others[row, place] > 0, "the context is not read"
            others[row, place] = 0
            assert not others.any(), "the context of another token is read"
    losses.sum().backward()
    silent = {name for name, p in head.named_parameters() if p.grad is None or not p.grad.any()}
    assert all(name.startswith("embed.") for name in silent), silent


@pytest.mark.parametrize("kind", [part(kind) for kind in HEADS])
@torch.no_grad()
def test_a_draw_is_of_the_kind_of_tokens_and_its_rows_are_their_own(kind: type) -> None:
    head = made(kind)
    contexts = torch.randn(2, 3, WIDTH)
    drawn = head.sample(contexts, False, SamplingOptions(), Rng([1, 2]))
    blank = head.blank(2, 3)
    assert (drawn.shape, drawn.is_floating_point()) == (blank.shape, blank.is_floating_point())
    for row in range(2):
        alone = head.sample(contexts[row : row + 1], False, SamplingOptions(), Rng([row + 1]))
        torch.testing.assert_close(alone, drawn[row : row + 1])


@pytest.mark.parametrize("kind", [part(kind) for kind in HEADS])
@torch.no_grad()
def test_guidance_of_one_is_none_and_more_is_some(kind: type) -> None:
    head = made(kind)
    both = torch.randn(4, 50, WIDTH)
    plain = head.sample(both[:2], False, SamplingOptions(), Rng([1, 2]))
    torch.testing.assert_close(head.sample(both, True, SamplingOptions(), Rng([1, 2])), plain)
    assert not torch.equal(head.sample(both, True, SamplingOptions(guidance=5.0), Rng([1, 2])), plain)


@pytest.mark.parametrize("kind", [part(kind) for kind in HEADS if hasattr(kind, "distribution")])
@torch.no_grad()
def test_a_head_of_ids_draws_from_its_distribution(kind: type) -> None:
    head, options = made(kind), SamplingOptions(temperature=0.7, top_k=3)
    contexts = torch.randn(2, 1, WIDTH)
    shares = head.distribution(contexts, False, options)
    torch.testing.assert_close(shares.sum(-1), torch.ones(2, 1))
    ids = head.sample(contexts.expand(-1, 20_000, -1), False, options, Rng([1, 2]))
    found = torch.stack([torch.bincount(row, minlength=shares.shape[-1]) / 20_000 for row in ids])
    torch.testing.assert_close(found, shares[:, 0], rtol=0, atol=0.015)
    likeliest = head.distribution(contexts, False, SamplingOptions(temperature=0.0))
    assert torch.equal(likeliest.argmax(-1), head.sample(contexts, False, SamplingOptions(temperature=0.0), Rng(0)))
    both = head.distribution(torch.cat([contexts, 2 * contexts]), True, SamplingOptions(guidance=1.0))
    torch.testing.assert_close(both, head.distribution(contexts, False, SamplingOptions()))


def test_parts_are_found() -> None:
    names = {type(order).__name__ for order in ORDERS} | {kind.__name__ for kind in HEADS}
    assert {"Raster", "RandomMasked", "ArccosMasked", "CategoricalHead", "MixtureHead", "RegressionHead"} <= names
    assert {"InsideOut", "LaplaceHead"} <= names, "the page shows how to write an order and a head"
