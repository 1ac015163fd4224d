"""Ovis's own words: merging of neighbours, frames, and what is not tied to the language model."""

from __future__ import annotations

import pytest
import torch

from limner.connectors.coefficients import Gumbel, Phi, Softmax, StraightThrough, Unconstrained
from limner.connectors.connector import Connector
from limner.connectors.ovis import OvisConnector, neighbours
from limner.errors import InputError
from limner.types import Patches

WORDS = torch.randn(50, 8)


def build(phi: Phi | None = None, **options) -> OvisConnector:
    torch.manual_seed(0)
    return OvisConnector(6, 20, 8, phi or Softmax(learned=False), **options)


def patches(side: int = 3) -> Patches:
    vectors = torch.randn(2, side**2, 6, generator=torch.Generator().manual_seed(0))
    return Patches.on_grid(vectors, side, side)


@pytest.mark.parametrize(("stride", "indicators", "framed"), [(1, 0, False), (1, 2, True), (2, 5, False), (3, 4, True)])
def test_as_many_vectors_as_merged_patches(stride: int, indicators: int, framed: bool) -> None:
    connector = build(stride=stride, indicators=indicators, framed=framed)
    assert isinstance(connector, Connector)
    vectors = connector(patches(5), WORDS)
    assert vectors.shape == (2, {1: 25, 2: 9, 3: 4}[stride] + 2 * framed, 8)
    assert connector.indicators.shape == (indicators, 8)
    if framed:
        assert torch.equal(vectors[:, [0, -1]], connector.indicators[-2:].expand(2, -1, -1))


def test_neighbours_are_side_by_side_and_the_rest_is_zero() -> None:
    merged = neighbours(patches(3), 2)
    grid = patches(3).vectors.unflatten(1, (3, 3))
    assert torch.equal(merged[:, 0], torch.cat([grid[:, 0, 0], grid[:, 0, 1], grid[:, 1, 0], grid[:, 1, 1]], 1))
    assert torch.equal(merged[:, 3, :6], grid[:, 2, 2])
    assert not merged[:, 3, 6:].any()
    assert torch.equal(neighbours(patches(), 1), patches().vectors)


def test_vectors_lie_in_the_hull_of_the_visual_words_without_indicators() -> None:
    connector = build(indicators=4)
    with torch.no_grad():
        connector.indicators.fill_(1e6)
    directions = torch.randn(8, 100)
    reach = (connector.table.weight[:20] @ directions).amax(0)
    assert ((connector(patches(), WORDS) @ directions).amax((0, 1)) <= reach + 1e-5).all()


def test_words_of_the_language_model_have_no_say() -> None:
    connector, words = build(), WORDS.clone().requires_grad_()
    vectors = connector(patches(), words)
    assert torch.equal(vectors, connector(patches(), 2 * WORDS))
    vectors.square().sum().backward()
    assert words.grad is None
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in connector.parameters())


@pytest.mark.parametrize("soft", [Softmax(learned=False), Unconstrained()])
def test_one_hot_codes_are_rows_of_the_table_and_teach(soft: Phi) -> None:
    connector = build(StraightThrough(soft))
    vectors = connector(patches(), WORDS)
    ids = connector.scores(neighbours(patches(), 1)).argmax(-1)
    assert torch.allclose(vectors, connector.table(ids), atol=1e-5)
    vectors.square().sum().backward()
    assert connector.head.output.weight.grad.abs().sum() > 0


def test_gumbel_cools_once_a_pass_even_in_parts() -> None:
    whole, parts = build(Gumbel(passes=4)), build(Gumbel(passes=4), floats=20)
    for connector in (whole, parts):
        connector(patches(), WORDS).sum().backward()
        assert int(connector.phi.seen) == 1
        connector.eval()(patches(), WORDS)
        assert int(connector.phi.seen) == 1


def test_gumbel_in_parts_goes_back_through_the_draws_that_were_made() -> None:
    """What is computed once more on the way back draws the same: the loss falls as its gradient says."""
    connector = build(Gumbel(1.0, 1.0), floats=20).double()
    torch.manual_seed(3)
    vectors = connector(Patches.on_grid(patches().vectors.double(), 3, 3), WORDS.double())
    chosen = torch.cdist(vectors.detach(), connector.table.weight.detach().expand(2, -1, -1)).argmin(-1)
    vectors.sum().backward()
    counts = torch.bincount(chosen.flatten(), minlength=20).double()
    assert torch.allclose(connector.table.weight.grad, counts[:, None].expand(-1, 8), atol=1e-5)


def test_the_table_may_start_like_the_words() -> None:
    connector, words = build(), 0.02 * torch.randn(4000, 8) + 0.5
    connector.settle(words)
    weight = connector.table.weight.detach()
    assert float(weight.mean()) == pytest.approx(0.5, abs=0.01)
    assert float(weight.std()) == pytest.approx(0.02, rel=0.3)


def test_what_cannot_be() -> None:
    with pytest.raises(InputError, match="2 indicators, not 1"):
        build(framed=True, indicators=1)
    pruned = patches().select(torch.tensor([[0, 4, 8]] * 2))
    with pytest.raises(InputError, match="3 patches do not fill their grid of 3x3"):
        build(stride=2)(pruned, WORDS)
    assert build()(pruned, WORDS).shape == (2, 3, 8)


def test_grids_need_not_be_square() -> None:
    wide = Patches.on_grid(torch.randn(1, 15, 6), 3, 5)
    merged = neighbours(wide, 2)
    assert merged.shape == (1, 6, 24)
    assert torch.equal(merged[0, 2, :6], wide.vectors[0, 4])
    assert build(stride=2)(wide, WORDS).shape == (1, 6, 8)
