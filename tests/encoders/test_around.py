"""Encoders around another: several layers, several scales, fewer patches; whose weights they are."""

from __future__ import annotations

import math

import pytest
import torch

from limner.encoders.encoder import VisionEncoder, innermost
from limner.encoders.fusing import FusingEncoder
from limner.encoders.scales import SeveralScales
from limner.encoders.several import SeveralLayers
from limner.encoders.vit import VisionTransformer
from limner.errors import InputError

SIDE = 32


def encoder(*, class_token: bool = True) -> VisionTransformer:
    torch.manual_seed(0)
    pool = "class" if class_token else "mean"
    return VisionTransformer(size=SIDE, patch=8, width=16, depth=4, heads=2, class_token=class_token, pool=pool).eval()


def image(side: int = SIDE) -> torch.Tensor:
    return torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(1)) * 2 - 1


@torch.no_grad()
def test_several_layers_stand_before_the_last() -> None:
    inner = encoder()
    several, plain = SeveralLayers(inner, (1, 3)), inner(image())
    found = several(image())
    assert isinstance(several, VisionEncoder)
    assert found.vectors.shape == (2, 16, several.width == 48 and 48)
    assert torch.equal(found.vectors[..., 32:], plain.vectors)
    states = list(inner.blocks.states(inner.enter(image())[0]))
    assert torch.equal(found.vectors[..., :16], inner.norm(states[0])[:, 1:])
    assert torch.equal(found.vectors[..., 16:32], inner.norm(states[2])[:, 1:])
    with pytest.raises(InputError, match="layers \\[4\\] are none of 1 to 3"):
        SeveralLayers(inner, (4,))


@torch.no_grad()
def test_one_scale_is_the_encoder_itself() -> None:
    inner = encoder()
    one, plain = SeveralScales(inner, (1,))(image()), inner(image())
    torch.testing.assert_close(one.vectors, plain.vectors)
    torch.testing.assert_close(one.pooled, plain.pooled)
    both = SeveralScales(inner)
    assert (both.size, both.width) == (64, 32)
    assert both(image(64)).vectors.shape == (2, 16, 32)
    with pytest.raises(InputError, match="no whole tiles"):
        SeveralScales(inner, (1, 1.6))
    with pytest.raises(InputError, match="no square"):
        both(torch.zeros(1, 3, 32, 64))


@pytest.mark.parametrize("class_token", [True, False])
@torch.no_grad()
def test_fused_patches(class_token: bool) -> None:
    inner = encoder(class_token=class_token)
    assert torch.equal(FusingEncoder(inner, {1: 1.0})(image()).vectors, inner(image()).vectors)
    for fused in (True, False):
        found = FusingEncoder(inner, {1: 0.5, 2: 0.5}, fused=fused)(image())
        first = 8 + fused
        left = math.ceil(0.5 * first) + fused
        assert found.vectors.shape == (2, left, 16)
        assert found.positions.shape == (2, left, 2)
        own = found.positions[:, : left - fused] @ torch.tensor([4, 1])
        if not fused:
            assert (own.diff(dim=1) > 0).all()  # in raster order
        alone = FusingEncoder(inner, {1: 0.5, 2: 0.5}, fused=fused)(image()[1:])
        torch.testing.assert_close(alone.vectors[0], found.vectors[1])


def test_the_weights_are_those_of_the_innermost() -> None:
    inner = encoder()
    assert innermost(SeveralScales(SeveralLayers(inner, (1,)))) is inner
    assert innermost(inner) is inner
