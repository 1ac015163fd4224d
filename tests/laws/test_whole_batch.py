"""A batch in parts is the batch, for every recipe there is: equal gradients and running statistics, or a refusal."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from limner.catalogue.recipes import find_recipes
from limner.errors import InputError

RECIPES = tuple(entry.path for entry in find_recipes() if entry.trains)
WHOLE = re.compile(r"--accumulate \d+ would change what is learned, for .+: leave it out, and lower --batch")
SMALL = re.compile(r"--batch 1 is too small, for .+: give at least 2")
BATCH = 8
CUT = {"tokenizers/vae", "tokenizers/fsq", "generators/mar", "understanding/llava", "unified/limner"}
WHOLE_ONLY = {"tokenizers/vq_vae", "tokenizers/lfq", "generators/raster", "encoders/clip", "encoders/features"}
Build = Callable[..., tuple[Any, Any]]


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """``build(path, **knobs)``: the tiny task of a recipe with its knobs; what it is built on is tiny and random."""
    from limner.lessons import conversations, pairs
    from limner.store.folder import find_recipe, save

    root = tmp_path_factory.mktemp("law")
    shipped = {path.partition("/")[2].replace("_", "-") + "-64": path for path in RECIPES}
    shipped |= {"features": "encoders/features"}

    def knobs_of(path: str, **changed: Any) -> Any:
        recipe = find_recipe(path)
        knobs = recipe.knobs(**{"images": BATCH, "batch": BATCH, "precision": "fp32", **recipe.tiny, **changed})
        for value in asdict(knobs).values():
            if isinstance(value, str) and value in shipped and not (root / value).exists():
                made = shipped[value]
                torch.manual_seed(0)
                own = knobs_of(made)
                save(find_recipe(made).build(own), root / value, recipe=made, knobs=own, facts={})
        return knobs

    def make(path: str, **changed: Any) -> tuple[Any, Any]:
        knobs = knobs_of(path, out=root / "out", **changed)
        torch.manual_seed(0)
        return find_recipe(path).task(knobs), knobs

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIMNER_WEIGHTS", str(root))
        patch.setattr(conversations, "READ", 50)
        patch.setattr(pairs, "READ", 20)
        yield make


def descended(task: Any, knobs: Any, batch: int, parts: int) -> tuple[Tensor, list[Tensor], float]:
    """Gradient of one step, the buffers after it, and its loss; the task is left as it was."""
    from limner.train.run import Run

    run = Run(task, replace(knobs, batch=batch, accumulate=parts, clip=1e9), Path("none"))
    buffers = [buffer for module in run.modules.values() for buffer in module.buffers()]
    before = [buffer.clone() for buffer in buffers]
    run.optimizer.step = lambda share: None
    task.model.train()
    loss = run.step()["loss"]
    gradient = torch.cat([torch.zeros(0) if p.grad is None else p.grad.flatten() for p in run.names.values()])
    after = [buffer.clone() for buffer in buffers]
    for buffer, value in zip(buffers, before, strict=True):
        buffer.copy_(value)
    return gradient, after, loss


def refusal(task: Any, knobs: Any, batch: int, parts: int) -> str | None:
    """What is said of a batch before it is trained on, if it is refused."""
    from limner.train.run import Run

    try:
        Run(task, replace(knobs, batch=batch, accumulate=parts), Path("none"))
    except InputError as error:
        return str(error)
    return None


def hold(task: Any, knobs: Any) -> int:
    """Assert the law; returns in how many numbers of parts the batch could be cut."""
    gradient, buffers, loss = descended(task, knobs, BATCH, 1)
    assert gradient.norm() > 0
    cut = 0
    for parts in (2, 4):
        if (problem := refusal(task, knobs, BATCH, parts)) is not None:
            assert WHOLE.match(problem)
            continue
        found, after, total = descended(task, knobs, BATCH, parts)
        assert float((found - gradient).norm() / gradient.norm()) < 1e-3
        assert total == pytest.approx(loss, rel=1e-3)
        for one, other in zip(buffers, after, strict=True):
            torch.testing.assert_close(other, one, rtol=1e-3, atol=1e-5)
        cut += 1
    if (problem := refusal(task, knobs, 1, 1)) is not None:
        assert SMALL.match(problem)
        return cut
    single, *_ = descended(task, knobs, 1, 1)
    assert single.isfinite().all()
    assert single.norm() > 0
    return cut


@pytest.mark.parametrize("path", RECIPES)
def test_the_parts_of_a_batch_are_the_batch(build: Build, path: str) -> None:
    cut = hold(*build(path))
    assert path not in CUT or cut == 2
    assert path not in WHOLE_ONLY or cut == 0


@pytest.mark.parametrize(
    ("path", "changed", "cut"),
    [
        ("tokenizers/vae", {"adversarial": 0.1}, 0),
        ("generators/raster", {"corrupt": 0.0}, 2),
    ],
)
def test_knobs_decide_what_is_refused(build: Build, path: str, changed: dict[str, Any], cut: int) -> None:
    assert hold(*build(path, **changed)) == cut
