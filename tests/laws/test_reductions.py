"""Laws of every `Reduce` that is found in `limner.connectors` and in techniques."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from typing import Any

import pytest
import torch

from limner import connectors
from limner.connectors.connector import Reduce
from limner.recipes import techniques
from limner.types import Patches

COUNT, WIDTH = 16, 6
ALL: dict[str, Any] = {"count": COUNT, "share": 1.0}
HALF: dict[str, Any] = {"count": COUNT // 2, "share": 0.5}


def reductions(values: dict[str, Any]) -> list[Reduce]:
    """Every class that is called with patches and a question and made with no more than these values."""
    found = []
    for package in (connectors, techniques):
        for info in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            module = importlib.import_module(info.name)
            for kind in vars(module).values():
                if not inspect.isclass(kind) or kind.__module__ != info.name or "__call__" not in vars(kind):
                    continue
                called = [one.annotation for one in inspect.signature(kind.__call__).parameters.values()][1:]
                made = inspect.signature(kind).parameters
                if called == ["Patches", "Query | None"] and set(made) <= set(values):
                    found.append(kind(**{name: values[name] for name in made}))
    return found


def patches() -> Patches:
    made = Patches.on_grid(torch.randn(3, COUNT, WIDTH, generator=torch.Generator().manual_seed(0)), 4, 4)
    return made._replace(weight=torch.rand(3, COUNT, generator=torch.Generator().manual_seed(1)))


def named(reduce: Reduce) -> str:
    return type(reduce).__name__


def test_reductions_are_found() -> None:
    assert {"Heaviest", "Alike"} <= {named(one) for one in reductions(ALL)}


@pytest.mark.parametrize("reduce", reductions(ALL), ids=named)
def test_keeping_all_changes_nothing(reduce: Reduce) -> None:
    before, after = patches(), reduce(patches(), None)
    for wanted, found in zip(before, after, strict=True):
        assert torch.equal(wanted, found)


@pytest.mark.parametrize("reduce", reductions(HALF), ids=named)
def test_a_batch_is_reduced_as_its_images(reduce: Reduce) -> None:
    whole = patches()
    found = reduce(whole, None)
    assert found.vectors.shape == (3, COUNT // 2, WIDTH)
    for row in range(3):
        alone = reduce(Patches(*(None if part is None else part[row : row + 1] for part in whole)), None)
        torch.testing.assert_close(alone.vectors[0], found.vectors[row])
        assert torch.equal(alone.positions[0], found.positions[row])


@pytest.mark.parametrize("reduce", reductions(HALF), ids=named)
def test_the_order_of_patches_that_stay_is_no_new_position(reduce: Reduce) -> None:
    """A patch that is left lies where it lay."""
    before, after = patches(), reduce(patches(), None)
    places = {tuple(place) for place in before.positions[0].tolist()}
    left = [tuple(place) for place in after.positions[0].tolist()]
    assert len(set(left)) == len(left)
    assert set(left) <= places


def test_merged_patches_are_the_mean_of_what_they_stand_for() -> None:
    from limner.connectors.merging import Alike

    whole = patches()._replace(weight=torch.ones(3, COUNT))
    for share in (0.75, 0.5, 0.2):
        found = Alike(share)(whole, None)
        assert found.weight is not None
        assert torch.equal(found.weight.sum(1), torch.full((3,), float(COUNT)))
    once = Alike(0.5)(whole, None)
    torch.testing.assert_close((once.vectors * once.weight[..., None]).sum(1), whole.vectors.sum(1))
