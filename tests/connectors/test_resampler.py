"""Learned queries: as many vectors as queries, which know where what they see lies."""

from __future__ import annotations

import pytest
import torch

from limner.connectors.connector import Connector
from limner.connectors.resampler import Resampler
from limner.errors import InputError

WORDS = torch.randn(50, 16)


def build() -> Resampler:
    torch.manual_seed(0)
    return Resampler(6, 9, 16, queries=4, depth=2, heads=2)


def test_it_is_a_connector() -> None:
    connector, features = build(), torch.randn(2, 9, 6)
    assert isinstance(connector, Connector)
    assert connector.slots(9) == 4
    vectors = connector(features, WORDS)
    assert vectors.shape == (2, 4, 16)
    assert torch.allclose(connector(features[1:], WORDS), vectors[1:], atol=1e-5)
    vectors.square().sum().backward()
    assert all(p.grad is not None for p in connector.parameters())


@torch.no_grad()
def test_queries_differ_and_know_places() -> None:
    connector, features = build(), torch.randn(1, 9, 6)
    vectors = connector(features, WORDS)
    assert float(torch.pdist(vectors[0]).min()) > 1e-2
    assert float((connector(features.flip(1), WORDS) - vectors).abs().max()) > 1e-4
    connector.position.zero_()
    assert torch.allclose(connector(features.flip(1), WORDS), connector(features, WORDS), atol=1e-5)


def test_it_learns_where_a_patch_lies() -> None:
    """Which of nine patches is the bright one? Chance is 1/9."""
    connector = build()
    optimizer = torch.optim.AdamW(connector.parameters(), lr=3e-3)
    rng = torch.Generator().manual_seed(0)
    for _ in range(120):
        place = torch.randint(0, 9, (32,), generator=rng)
        features = torch.randn(32, 9, 6, generator=rng) * 0.1
        features[torch.arange(32), place, 0] += 3
        loss = torch.nn.functional.cross_entropy(connector(features, WORDS)[:, 0, :9], place)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.5


def test_what_cannot_be() -> None:
    with pytest.raises(InputError, match="looks at 9 patches, not 16"):
        build()(torch.randn(1, 16, 6), WORDS)
    with pytest.raises(InputError, match="16 channels do not divide into 3"):
        Resampler(6, 9, 16, queries=4, heads=3)
