"""Weights laid out for the processor give the same numbers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import limner
from limner.decode.decoder import Decoder
from limner.decode.packed import packed
from limner.generators.backbones.backbone import Backbone
from limner.generators.backbones.causal import CausalTransformer
from limner.generators.backbones.masked import MaskedAutoencoder
from limner.generators.conditions import ClassCondition
from limner.generators.generator import Generator
from limner.generators.heads.categorical import LinearCategoricalHead
from limner.generators.heads.diffusion import DiffusionHead
from limner.generators.heads.head import Head, SamplingOptions
from limner.generators.orders import Order, RandomMasked, Raster
from limner.nn.blocks import vit_blocks
from limner.nn.packing import PackedLinear, pack
from limner.nn.transformer import Mlp
from limner.store import folder
from limner.types import Layout, Rng

Parts = Callable[[], tuple[Order, Backbone, Head]]
GELUS = [functional.gelu, partial(functional.gelu, approximate="tanh"), functional.silu]


@pytest.mark.parametrize(("precision", "bound"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)])
@pytest.mark.parametrize("rows", [(1,), (3, 5), (2, 7, 4)])
@pytest.mark.parametrize("bias", [True, False])
@torch.no_grad()
def test_a_packed_layer_is_the_layer(rows: tuple[int, ...], bias: bool, precision: torch.dtype, bound: float) -> None:
    torch.manual_seed(0)
    linear, x = nn.Linear(24, 40, bias).to(precision), torch.randn(*rows, 24).to(precision)
    packed = PackedLinear(linear)
    assert packed(x).shape == (*rows, 40)
    torch.testing.assert_close(packed(x), linear(x), rtol=bound, atol=bound)
    assert not list(packed.parameters())


@pytest.mark.parametrize("activation", GELUS, ids=["gelu", "tanh", "silu"])
@torch.no_grad()
def test_a_packed_block_is_the_block(activation: object) -> None:
    """Whatever its activation; a GELU becomes part of the layer before it."""
    torch.manual_seed(0)
    stack, x = vit_blocks(1, 16, 2, activation=activation), torch.randn(2, 5, 16)
    before = stack(x)
    pack(stack)
    torch.testing.assert_close(stack(x), before, rtol=0, atol=1e-5)
    assert not [module for module in stack.modules() if isinstance(module, nn.Linear)]
    assert isinstance(stack[0].mlp.activation, nn.Identity) == (activation is not functional.silu)


def test_only_gelus_are_taken_for_gelus() -> None:
    """Also one that is written out."""

    def written(x: Tensor) -> Tensor:
        return functional.gelu(x, approximate="tanh")

    for activation, fused in ((written, ("gelu", "tanh")), (functional.relu, ("none", None))):
        mlp = nn.Sequential(Mlp(4, 8, activation))
        pack(mlp)
        assert mlp[0].fc1.after == fused


COUNT, WIDTH = 6, 16


def raster() -> tuple[Order, Backbone, Head]:
    backbone = CausalTransformer(count=COUNT, prefix=1, width=WIDTH, depth=1, heads=2)
    return Raster(), backbone, LinearCategoricalHead(9, WIDTH)


def masked() -> tuple[Order, Backbone, Head]:
    backbone = MaskedAutoencoder(count=COUNT, prefix=1, width=WIDTH, encoder_depth=1, decoder_depth=1, heads=2)
    return RandomMasked(), backbone, DiffusionHead(3, WIDTH, width=16, depth=1, steps=5, velocity=True)


@pytest.mark.parametrize("parts", [raster, masked])
@torch.no_grad()
def test_a_packed_decoder_draws_the_same_and_leaves_the_other_as_it_was(parts: Parts) -> None:
    torch.manual_seed(0)
    order, backbone, head = parts()
    condition = ClassCondition(4, WIDTH, 1)
    generator = Generator(
        layout=Layout(((COUNT,),)), order=order, backbone=backbone, head=head, condition=condition
    ).eval()
    for parameter in generator.parameters():
        nn.init.normal_(parameter, std=0.2)
    decoder, labels = Decoder(generator, SamplingOptions(guidance=2.0)), torch.tensor([0, 3])
    before = decoder(labels, Rng([1, 2]))
    other = packed(decoder)
    torch.testing.assert_close(other(labels, Rng([1, 2])), before, rtol=0, atol=1e-4)
    assert not [module for module in other.generator.modules() if isinstance(module, nn.Linear)]
    assert other.generator.condition.embedding.weight is generator.condition.embedding.weight
    assert torch.equal(decoder(labels, Rng([1, 2])), before)


def test_large_models_are_packed_when_loaded_and_saved_as_they_were(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    small = limner.load("raster-emoji-64")
    assert not [module for module in small.modules() if isinstance(module, PackedLinear)]
    monkeypatch.setattr(folder, "PACKED_FROM", 1_000_000)
    large = limner.load("raster-emoji-64")
    assert not [module for module in large.generator.modules() if isinstance(module, nn.Linear)]
    pictures = [np.asarray(model.draw("a red heart")[0], dtype=int) for model in (large, small)]
    assert np.abs(pictures[0] - pictures[1]).max() <= 2  # of 255: the order of sums
    limner.save(large, tmp_path / "again")
    again = limner.load(tmp_path / "again", packed=False).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in small.state_dict().items())
    assert [module for module in large.modules() if isinstance(module, PackedLinear)]
