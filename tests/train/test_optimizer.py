"""AdamW and Muon as one optimizer: who moves what, by how much, and from what is resumed."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from limner.errors import InputError
from limner.train.optimizer import Optimizer, repeated
from limner.train.settings import Settings


class Stack(nn.Module):
    """A first layer, two repeated blocks and an embedding."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Linear(6, 8)
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(8, 16), nn.LayerNorm(16), nn.Linear(16, 8)) for _ in "ab")
        self.words = nn.Embedding(5, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x) + self.words.weight.mean(0)
        for block in self.blocks:
            x = x + block(x)
        return x.square().mean()


def descend(model: nn.Module, optimizer: Optimizer, steps: range) -> None:
    for step in steps:
        optimizer.zero_grad()
        model(torch.randn(64, 6, generator=torch.Generator().manual_seed(step))).backward()
        optimizer.step(1.0)


def optimizer_of(model: nn.Module, **knobs: float) -> Optimizer:
    return Optimizer([model], model.parameters(), Settings(**knobs))


def test_muon_moves_the_matrices_of_blocks_alone() -> None:
    model = Stack()
    assert repeated([model]) == {layer.weight for block in model.blocks for layer in (block[0], block[2])}
    adam, muon = optimizer_of(model, muon=1e-3).parts
    assert {p for group in muon.param_groups for p in group["params"]} == repeated([model])
    owned = [p for part in (adam, muon) for group in part.param_groups for p in group["params"]]
    assert len(owned) == len(set(owned)) == len(list(model.parameters()))
    assert len(optimizer_of(model).parts) == 1, "without --muon there is AdamW alone"


def test_muon_moves_every_direction_of_a_matrix_alike_and_as_far_as_adamw() -> None:
    model = Stack()
    weight = model.blocks[0][0].weight
    before = weight.detach().clone()
    optimizer = optimizer_of(model, muon=1e-2, weight_decay=0.0)
    descend(model, optimizer, range(1))
    moved = (weight.detach() - before) / 1e-2
    values, gradient = torch.linalg.svdvals(moved) / (0.2 * 16**0.5), torch.linalg.svdvals(weight.grad)
    assert 0.65 < values.max() < 1.25  # five Newton-Schulz steps end about there
    assert (values > 0.65).sum() >= 5
    assert (gradient > 0.65 * gradient.max()).sum() <= 2, "the gradient's directions were alike anyway"


def test_share_scales_every_learning_rate() -> None:
    optimizer = optimizer_of(Stack(), lr=1e-3, muon=1e-2)
    optimizer.step(0.25)
    assert [group["lr"] for part in optimizer.parts for group in part.param_groups] == [2.5e-4, 2.5e-4, 2.5e-3]


def test_a_restored_optimizer_goes_on_bit_for_bit() -> None:
    whole = Stack()
    optimizer = optimizer_of(whole, muon=1e-2)
    descend(whole, optimizer, range(3))
    part = copy.deepcopy(whole)
    other = optimizer_of(part, muon=1e-2)
    for one, another in zip(whole.parameters(), part.parameters(), strict=True):
        state = optimizer.state(one)
        assert state
        other.restore(another, {key: value.clone() for key, value in state.items()})
    descend(whole, optimizer, range(3, 6))
    descend(part, other, range(3, 6))
    for one, another in zip(whole.parameters(), part.parameters(), strict=True):
        assert torch.equal(one, another)


def test_a_negative_rate_is_refused() -> None:
    with pytest.raises(InputError, match="--muon is -1.0, but must be a learning rate"):
        Settings(muon=-1.0)
