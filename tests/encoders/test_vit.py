from __future__ import annotations

import pytest
import torch


def encoder(**changed):
    from limner.encoders.vit import VisionTransformer

    torch.manual_seed(0)
    sizes = {"size": 16, "patch": 4, "width": 16, "depth": 2, "heads": 2}
    return VisionTransformer(**{**sizes, **changed}).eval()


def pictures(count: int = 3, side: int = 16) -> torch.Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.mark.parametrize("class_token", [False, True])
@torch.no_grad()
def test_it_is_an_encoder(class_token):
    from limner.encoders.encoder import VisionEncoder

    model = encoder(class_token=class_token)
    assert isinstance(model, VisionEncoder)
    assert model.enter(pictures())[0].shape == (3, 16 + class_token, 16)
    features = model(pictures()).vectors
    assert features.shape == (3, 16, 16)
    assert torch.allclose(model(pictures()).pooled, features.mean(1), atol=1e-6)


@torch.no_grad()
def test_the_class_token_can_be_pooled():
    model = encoder(class_token=True, pool="class")
    x, _ = model.enter(pictures())
    for block in model.blocks:
        x = block(x)
    assert torch.equal(model(pictures()).pooled, model.norm(x[:, 0]))


@torch.no_grad()
def test_the_embedding_is_the_convolution():
    model = encoder()
    model.norm_first = torch.nn.Identity()
    embed = torch.nn.functional.conv2d(pictures(), model.embed.weight, stride=4)
    convolved = embed.flatten(2).mT + model.position
    assert torch.allclose(model.enter(pictures())[0], convolved, atol=1e-5)
    channels_last = pictures().contiguous(memory_format=torch.channels_last)
    assert torch.allclose(model.enter(channels_last)[0], convolved, atol=1e-5)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"patch": 5}, "no whole patches of 5"),
        ({"heads": 3}, "no multiple of 3"),
        ({"pool": "class"}, "needs one"),
    ],
)
def test_impossible_sizes_are_refused(changed, sentence):
    from limner.errors import InputError

    with pytest.raises(InputError, match=sentence):
        encoder(**changed)


def test_pictures_of_no_whole_patches_are_refused():
    from limner.errors import InputError

    with pytest.raises(InputError, match="16x18 pixels are no whole patches of 4"):
        encoder()(pictures()[..., :1].expand(-1, -1, -1, 18))


@torch.no_grad()
def test_pictures_need_not_be_square():
    """Positions are interpolated: on a grid of twice the columns, every second of a smooth table is nearly its own."""
    model = encoder(class_token=True)
    patches = model(torch.rand(2, 3, 24, 16))
    assert patches.vectors.shape == (2, 24, 16)
    assert patches.grid == (6, 4)
    assert patches.positions[0, 5].tolist() == [1, 1]
    row, column = torch.meshgrid(torch.arange(4.0), torch.arange(4.0), indexing="ij")
    model.position[1:] = torch.stack([row, column], 2).flatten(0, 1).repeat(1, 8)
    from limner.nn.positions import interpolated

    wide = interpolated(model.position[1:], 4, 8).unflatten(0, (4, 8))
    assert torch.allclose(wide[:, 2:6, 1], (torch.arange(2, 6) + 0.5) / 2 - 0.5 + torch.zeros(4, 1), atol=0.1)
    assert torch.equal(interpolated(model.position[1:], 4, 4), model.position[1:])


@pytest.mark.parametrize("kind", ["vit", "aimv2", "navit"])
@torch.no_grad()
def test_a_hook_may_drop_patches(kind):
    """Positions say which are left; dropped before the first block, the others see what they would see alone."""
    from limner.encoders.aimv2 import Aimv2
    from limner.encoders.navit import NativeTransformer
    from limner.nn.blocks import hooked
    from limner.nn.transformer import take

    torch.manual_seed(0)
    sizes = {"size": 16, "patch": 4, "width": 16, "depth": 2, "heads": 2}
    model = {
        "vit": lambda: encoder(class_token=True),
        "aimv2": lambda: Aimv2(**sizes, hidden=16),
        "navit": lambda: NativeTransformer(**sizes, hidden=16),
    }[kind]()
    before = int(kind == "vit")
    kept = torch.tensor([[0, 3, 9, 14], [1, 2, 3, 15]])

    def drop(layer, x, context):
        if layer != 1:
            return x, context
        tokens = torch.cat([torch.zeros(2, before, dtype=torch.long), kept + before], 1)
        return take(x, tokens), context.at(tokens)

    whole = model(pictures(2))
    with hooked(model.blocks, drop):
        left = model(pictures(2))
    assert torch.equal(left.positions, torch.stack([kept // 4, kept % 4], 2))
    assert left.vectors.shape == (2, 4, 16)
    assert not torch.allclose(left.vectors, whole.select(kept).vectors, atol=1e-3)
    with hooked(model.blocks, lambda layer, x, context: (x, context)):
        assert torch.equal(model(pictures(2)).vectors, whole.vectors)
