"""Losses that are learned together: each from its own stream, weighted by name; captions withheld by their number."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from limner.lessons.joint import JointPart, joint_task, pictures_of_captions
from limner.types import Rng


def part(name: str, scale: float, times: int = 1) -> JointPart[nn.Linear]:
    """A loss that is ``scale`` times the sum of its items' numbers and of one draw."""

    def losses(model: nn.Linear, batch: Tensor, rng: Rng) -> dict[str, Tensor]:
        return {name: scale * model.weight.sum() * (batch.sum() + rng.uniform(1).sum())}

    return JointPart(lambda start, size: torch.arange(start, start + size).float(), losses, times)


def test_losses_are_weighted_by_name_and_drawn_for_in_turn() -> None:
    model = nn.Linear(1, 1, bias=False)
    task = joint_task(model, [part("one", 1.0), part("two", 2.0, times=3)], {"two": 0.5})
    first, second = task.batch(2, 2)
    assert (first.tolist(), second.tolist()) == ([2, 3], [6, 7, 8, 9, 10, 11])
    total, found = task.loss(model, [first, second], Rng(4))
    a, b = Rng(4).uniform(1), torch.rand(2, generator=torch.Generator().manual_seed(4))
    assert torch.equal(a, b[:1])
    weight = model.weight.detach().sum()
    torch.testing.assert_close(found["one"], weight * (5 + b[0]))
    torch.testing.assert_close(found["two"], 2 * weight * (51 + b[1]), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(total.detach(), found["one"] + 0.5 * found["two"])


@pytest.mark.parametrize("start", [0, 300])
def test_captions_are_withheld_by_their_number(start: int) -> None:
    captions, pictures = torch.randint(1, 9, (300, 4)), torch.randn(300, 3, 2)
    packed = pictures_of_captions(captions, pictures, start, 0.25, seed=1)
    gone = packed.of("special").any(1)
    assert 0.15 < float(gone.float().mean()) < 0.35
    assert torch.equal(packed.tokens("drawn"), pictures.flatten(0, 1))
    assert torch.equal(packed.ids[~gone, :4], captions[~gone])
    assert (packed.ids[gone, :4] == torch.arange(4)).all()
    assert packed.masked()[:, 4:].all()
    again = pictures_of_captions(captions[100:], pictures[100:], start + 100, 0.25, seed=1)
    assert torch.equal(again.kinds, packed.kinds[100:]), "what is withheld depends on the batch"
    assert not pictures_of_captions(captions, pictures, start, 0.0, seed=1).of("special").any()
