"""Golden tensors of the authors' own code: where they lie, what is in them, and how to draw what they drew.

``LIMNER_GOLDENS`` names the directory; without it, the one beside a developer's checkout, else the small ones here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from limner.store.described import CONFIG
from limner.types import Rng

TESTS = Path(__file__).resolve().parents[1]


def directory() -> Path:
    """Where the goldens are; one that was named must be there."""
    if named := os.environ.get("LIMNER_GOLDENS"):
        folder = Path(named)
        assert folder.is_dir(), f"LIMNER_GOLDENS is {named}, which is no directory"
        return folder
    beside = TESTS.parent.parent / "shared" / "goldens"
    return beside if beside.is_dir() else TESTS / "golden"


@dataclass(frozen=True)
class Golden:
    """One ``NAME-CASE.json`` with its tensors."""

    path: Path

    @cached_property
    def card(self) -> dict[str, Any]:
        return json.loads(self.path.read_text(encoding="utf-8"))

    @property
    def config(self) -> dict[str, Any]:
        return self.card["config"]

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        return load_file(self.path.with_suffix(".safetensors"))

    def __getitem__(self, key: str) -> Tensor:
        return self.tensors[key]

    def under(self, prefix: str) -> dict[str, Tensor]:
        """Tensors whose key starts with ``prefix``, without it."""
        return {key.removeprefix(prefix): value for key, value in self.tensors.items() if key.startswith(prefix)}

    def state(self) -> dict[str, Tensor]:
        """The official state dict."""
        return self.under("state.")


def described(**config: Any) -> dict[str, Tensor]:
    """A config.json as it lies among the tensors of a file beside it."""
    return {CONFIG: torch.tensor(list(json.dumps(config).encode()), dtype=torch.uint8)}


def goldens(*names: str, having: str = "") -> list[Any]:
    """Parameters of a test: every case of these names whose tensors include ``having``."""
    found = [Golden(path) for name in names for path in sorted(directory().glob(f"{name}-*.json"))]
    return [pytest.param(one, id=one.path.stem) for one in found if not having or having in one.card["tensors"]]


def difference(found: Tensor, wanted: Tensor) -> float:
    """Largest difference, as a share of the largest value where that is above 1."""
    assert found.shape == wanted.shape, f"shape is {tuple(found.shape)}, not {tuple(wanted.shape)}"
    if not wanted.numel():
        return 0.0
    found, wanted = found.detach().double(), wanted.double()
    return float((found - wanted).abs().max() / wanted.abs().max().clamp_min(1.0))


def agree(found: Tensor, wanted: Tensor, tolerance: float = 1e-4) -> None:
    """Assert that two tensors agree."""
    error = difference(found, wanted)
    assert error <= tolerance, f"differs by {error:.2e}"


class Replay(Rng):
    """Draws what was recorded: each call takes the next tensor of its kind and must want as many numbers."""

    def __init__(
        self,
        *,
        normal: Iterable[Tensor] = (),
        uniform: Iterable[Tensor] = (),
        permutations: Iterable[Tensor] = (),
    ) -> None:
        super().__init__(0)
        self.recorded = {"normal": list(normal), "uniform": list(uniform), "permutations": list(permutations)}

    def _next(self, kind: str, shape: tuple[int, ...]) -> Tensor:
        assert self.recorded[kind], f"one more {kind} draw than was recorded"
        tensor = self.recorded[kind].pop(0)
        assert tensor.numel() == torch.Size(shape).numel(), f"{kind}{shape} wanted, {tuple(tensor.shape)} recorded"
        return tensor.reshape(shape)

    def normal(self, *shape: int) -> Tensor:
        return self._next("normal", shape)

    def uniform(self, *shape: int) -> Tensor:
        return self._next("uniform", shape)

    def permutations(self, batch: int, count: int) -> Tensor:
        return self._next("permutations", (batch, count))

    def finish(self) -> None:
        """Assert that everything recorded was drawn."""
        left = {kind: len(tensors) for kind, tensors in self.recorded.items() if tensors}
        assert not left, f"recorded but not drawn: {left}"
