"""Attention as the weight of patches, in our encoders and in towers of `transformers`, and pruning by it."""

from __future__ import annotations

import pytest
import torch

from limner.connectors.pruning import Heaviest
from limner.encoders.aimv2 import Aimv2
from limner.encoders.class_attention import Attentive, ClassWeighted
from limner.encoders.encoder import VisionEncoder
from limner.encoders.navit import NativeTransformer
from limner.encoders.vit import VisionTransformer
from limner.errors import InputError
from limner.types import Patches

SIZES = {"size": 16, "patch": 4, "width": 16, "depth": 3, "heads": 2}
OURS = {
    "class token": lambda: VisionTransformer(**SIZES, class_token=True),
    "none": lambda: VisionTransformer(**SIZES),
    "aimv2": lambda: Aimv2(**SIZES, hidden=16),
    "navit": lambda: NativeTransformer(**SIZES, hidden=16),
}


def image(rows: int = 16) -> torch.Tensor:
    return torch.rand(2, 3, rows, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.fixture(params=OURS)
def encoder(request) -> Attentive:
    torch.manual_seed(0)
    return OURS[request.param]().eval()


@torch.no_grad()
def test_attention_is_read_and_changes_nothing(encoder: Attentive) -> None:
    assert isinstance(encoder, Attentive)
    patches, received = encoder.attended(image())
    assert torch.equal(patches.vectors, encoder(image()).vectors)
    assert received.shape == (2, 3, 16)
    assert (received > 0).all()
    shared = received.sum(-1)
    if getattr(encoder, "class_token", None) is None:  # patches attend to patches alone
        torch.testing.assert_close(shared, torch.ones(2, 3))
    else:
        assert (shared < 1).all()


@torch.no_grad()
def test_the_class_tokens_attention_is_that_of_the_pass() -> None:
    """By hand: rows of softmax(q k'), of the class token alone."""
    torch.manual_seed(0)
    encoder = OURS["class token"]().eval()
    x, _ = encoder.enter(image())
    wanted = []
    for block in encoder.blocks:
        query, key, _ = block.attn.qkv(block.norm1(x)).unflatten(-1, (3, 2, 8)).permute(2, 0, 3, 1, 4)
        wanted.append((query @ key.mT / 8**0.5).softmax(-1)[:, :, 0, 1:].mean(1))
        x = block(x)
    _, received = encoder.attended(image())
    torch.testing.assert_close(received, torch.stack(wanted, 1))
    weight = ClassWeighted(encoder, start=1)(image()).weight
    torch.testing.assert_close(weight, received[:, 1])  # of three layers the last is left out


@torch.no_grad()
def test_the_heaviest_are_kept_in_their_order(encoder: Attentive) -> None:
    weighted = ClassWeighted(encoder)
    assert isinstance(weighted, VisionEncoder)
    patches = weighted(image(32))  # 8x4 patches
    kept = Heaviest(5)(patches, None)
    assert kept.vectors.shape == (2, 5, 16)
    assert patches.weight is not None
    assert kept.weight is not None
    assert torch.equal(kept.weight.sort().values, patches.weight.topk(5).values.sort().values)
    number = kept.positions @ torch.tensor([4, 1])
    assert (number.diff(dim=1) > 0).all()
    assert torch.equal(kept.vectors, patches.select(number).vectors)
    assert torch.equal(Heaviest(99)(patches, None).vectors, patches.vectors)


def test_what_cannot_be() -> None:
    with pytest.raises(InputError, match="0 patches cannot be kept"):
        Heaviest(0)
    with pytest.raises(InputError, match="no weight to be pruned by"):
        Heaviest(1)(Patches.on_grid(torch.zeros(1, 4, 2), 2, 2), None)
    shallow = VisionTransformer(**{**SIZES, "depth": 1})
    with pytest.raises(InputError, match="an encoder of 1 layers has none from layer 0 to the last but one"):
        ClassWeighted(shallow)(image())
    with pytest.raises(InputError, match="has none from layer -1"):
        ClassWeighted(VisionTransformer(**SIZES), start=-1)(image())
