"""FlexVAR's order and tokenizer: which grids are taken, and that those left out have no part in anything."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from limner.errors import InputError
from limner.generators.any_scales import BUDGET, AnyScales, drawn_sides, sides_of, usual_steps
from limner.generators.backbones.any_scales import AnyScaleTransformer
from limner.generators.conditions import Conditioning
from limner.tokenizers.free_scales import FreeScaleTokenizer, all_sides
from limner.tokenizers.quantizers.learned import LearnedCodebook
from limner.types import Layout, Rng


def test_the_authors_grids_are_drawn_where_they_say_and_growing_ones_elsewhere() -> None:
    assert sides_of(16, 10) == (1, 2, 3, 4, 5, 6, 8, 10, 13, 16)
    assert sides_of(16, 13) == (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16)
    for side in (1, 2, 3, 4, 8, 16, 32):
        for steps in range(1, side + 1):
            sides = sides_of(side, steps)
            assert len(sides) == steps
            assert sides[-1] == side
            assert list(sides) == sorted(set(sides))
        assert 1 <= usual_steps(side) <= side
    with pytest.raises(InputError, match="choose 1 to 4"):
        sides_of(4, 5)


def test_training_takes_the_authors_numbers_of_grids_and_no_more_tokens_than_they() -> None:
    chances, taken = torch.rand(2000, 22, generator=torch.Generator().manual_seed(0)), []
    for row in chances:
        sides = drawn_sides(16, row)
        taken.append(sides)
        assert list(sides) == sorted(set(sides))
        assert sum(side**2 for side in sides) <= BUDGET * 16**2 == 680
        assert sides[0] == 1
    share = sum(sides == (1, 2, 3, 4, 5, 6, 8, 10, 13, 16) for sides in taken) / len(taken)
    assert 0.03 < share < 0.08
    assert {side for sides in taken for side in sides} == set(range(1, 17))
    assert max(map(len, taken)) == 10
    for side in (1, 2, 3, 4, 8):
        for row in chances[:200, : side + 6]:
            assert set(drawn_sides(side, row)) <= set(range(1, side + 1))


def test_a_plan_reaches_every_token_of_its_grids_once_and_no_other() -> None:
    order, layout = AnyScales(None), all_sides(4)
    for steps in (1, 2, 3, 4, None):
        plan = order.decoding_steps(2, layout, steps, Rng([0, 1]))
        sides = sides_of(4, steps or usual_steps(4))
        for side, part in zip(range(1, 5), plan.split(layout.lengths, 1), strict=True):
            assert (part == (sides.index(side) + 1 if side in sides else 0)).all()
    with pytest.raises(InputError, match="tokens lie as 4x4, but"):
        order.decoding_steps(1, Layout(((4, 4),)), None, Rng(0))


@torch.no_grad()
def test_grids_that_are_left_out_are_neither_read_nor_needed() -> None:
    torch.manual_seed(0)
    backbone = AnyScaleTransformer(count=30, width=16, depth=2, heads=2)
    for weight in backbone.parameters():
        nn.init.normal_(weight, std=0.3)
    steps = AnyScales((1, 3, 4)).training_steps(2, all_sides(4), Rng(0))
    taken = steps[0] > 0
    x, condition = torch.randn(2, 30, 16), Conditioning(torch.randn(2, 1, 16))
    targets = taken.nonzero()[:, 0].expand(2, -1)
    whole = backbone(x, steps, condition, targets)
    other = torch.where(taken[:, None], x, torch.randn_like(x))
    assert torch.equal(backbone(other, steps, condition, targets), whole)
    alone = torch.arange(int(taken.sum())).expand(2, -1)
    assert torch.equal(backbone(x[:, taken], steps[:, taken], condition, alone), whole)


@torch.no_grad()
def test_the_last_grid_alone_makes_the_image() -> None:
    torch.manual_seed(0)
    codebook = LearnedCodebook(12, 3)
    nn.init.normal_(codebook.codebook)
    model = FreeScaleTokenizer(
        nn.Conv2d(3, 3, 4, stride=4), codebook, nn.Upsample(scale_factor=4), size=16, layout=all_sides(4)
    )
    model.decoder.register_parameter("precision", nn.Parameter(torch.zeros(1)))
    image = torch.rand(2, 3, 16, 16) * 2 - 1
    tokens = model.encode(image)
    assert tokens.shape == (2, 30)
    for end, length in zip(model.layout.ends, model.layout.lengths, strict=True):
        part = tokens[:, :end].clone()
        first = model.decode(part)
        part[:, : end - length] = 0
        assert torch.equal(model.decode(part), first)
        assert first.shape == image.shape
    shapes = {model.quantizer(model.features(image), Rng(seed)).latents.shape[-1] for seed in range(60)}
    assert shapes == {1, 2, 3, 4}
