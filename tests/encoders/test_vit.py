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
    assert model(pictures()).shape == (3, 16 + class_token, 16)
    features = model.features(pictures())
    assert features.shape == (3, 16, 16)
    assert torch.allclose(model.pooled(pictures()), features.mean(1), atol=1e-6)


@torch.no_grad()
def test_the_class_token_can_be_pooled():
    model = encoder(class_token=True, pool="class")
    assert torch.equal(model.pooled(pictures()), model(pictures())[:, 0])


@torch.no_grad()
def test_the_embedding_is_the_convolution():
    model = encoder()
    model.norm_first = torch.nn.Identity()
    convolved = model.embed(pictures()).flatten(2).mT + model.position
    assert torch.allclose(model.enter(pictures()), convolved, atol=1e-5)
    channels_last = pictures().contiguous(memory_format=torch.channels_last)
    assert torch.allclose(model.enter(channels_last), convolved, atol=1e-5)


@torch.no_grad()
def test_attention_maps_are_those_of_the_pass():
    model = encoder(class_token=True)
    maps = model.attention(pictures())
    assert maps.shape == (3, 2, 2, 17, 17)
    assert torch.allclose(maps.sum(-1), torch.ones(3, 2, 2, 17), atol=1e-5)
    block, x = model.blocks[0], model.enter(pictures())
    value = block.attn.qkv(block.norm1(x)).unflatten(-1, (3, 2, 8))[:, :, 2].transpose(1, 2)
    attended = block.attn.proj((maps[:, 0] @ value).transpose(1, 2).flatten(2))
    assert torch.allclose(attended, block.attn(block.norm1(x)), atol=1e-5)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [({"patch": 5}, "no whole patches of 5"), ({"heads": 3}, "no 3 equal"), ({"pool": "class"}, "needs one")],
)
def test_impossible_sizes_are_refused(changed, sentence):
    from limner.errors import InputError

    with pytest.raises(InputError, match=sentence):
        encoder(**changed)


def test_pictures_of_another_size_are_refused():
    from limner.errors import InputError

    with pytest.raises(InputError, match="sees 16x16 pixels, not 32x32: resize first"):
        encoder().features(pictures(1, 32))
