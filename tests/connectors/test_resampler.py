"""Learned queries: as many vectors as queries, which know where what they see lies."""

from __future__ import annotations

import pytest
import torch

from limner.connectors.connector import Connector
from limner.connectors.resampler import Resampler
from limner.errors import InputError
from limner.types import Patches

WORDS = torch.randn(50, 16)


def grid(features: torch.Tensor) -> Patches:
    side = round(features.shape[1] ** 0.5)
    return Patches.on_grid(features, side, side)


def build() -> Resampler:
    torch.manual_seed(0)
    return Resampler(6, 9, 16, queries=4, depth=2, heads=2)


def test_it_is_a_connector() -> None:
    connector, features = build(), torch.randn(2, 9, 6)
    assert isinstance(connector, Connector)
    vectors = connector(grid(features), WORDS)
    assert vectors.shape == (2, 4, 16)
    assert torch.allclose(connector(grid(features[1:]), WORDS), vectors[1:], atol=1e-5)
    vectors.square().sum().backward()
    assert all(p.grad is not None for p in connector.parameters())


@torch.no_grad()
def test_queries_differ_and_know_places() -> None:
    connector, features = build(), torch.randn(1, 9, 6)
    vectors = connector(grid(features), WORDS)
    assert float(torch.pdist(vectors[0]).min()) > 1e-2
    assert float((connector(grid(features.flip(1)), WORDS) - vectors).abs().max()) > 1e-4
    connector.position.zero_()
    assert torch.allclose(connector(grid(features.flip(1)), WORDS), connector(grid(features), WORDS), atol=1e-5)


@torch.no_grad()
def test_a_pruned_patch_keeps_its_position() -> None:
    connector, features = build(), torch.randn(1, 9, 6)
    kept = grid(features).select(torch.tensor([[7, 0, 3]]))
    moved = kept._replace(positions=kept.positions.flip(1))
    assert not torch.allclose(connector(kept, WORDS), connector(moved, WORDS), atol=1e-4)
    torch.testing.assert_close(
        connector(grid(features).select(torch.arange(9)[None].flip(1)), WORDS), connector(grid(features), WORDS)
    )


def test_it_learns_where_a_patch_lies() -> None:
    """Which of nine patches is the bright one? Chance is 1/9."""
    connector = build()
    optimizer = torch.optim.AdamW(connector.parameters(), lr=3e-3)
    rng = torch.Generator().manual_seed(0)
    for _ in range(120):
        place = torch.randint(0, 9, (32,), generator=rng)
        features = torch.randn(32, 9, 6, generator=rng) * 0.1
        features[torch.arange(32), place, 0] += 3
        loss = torch.nn.functional.cross_entropy(connector(grid(features), WORDS)[:, 0, :9], place)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.5


def test_what_cannot_be() -> None:
    with pytest.raises(InputError, match="reads grids of 3x3 patches"):
        build()(grid(torch.randn(1, 16, 6)), WORDS)
    with pytest.raises(InputError, match="16 channels do not divide into 3"):
        Resampler(6, 9, 16, queries=4, heads=3)
