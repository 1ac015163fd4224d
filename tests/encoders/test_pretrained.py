"""Vision towers of `transformers`: tiny random configurations of the real classes, saved and read back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

transformers = pytest.importorskip("transformers", reason="pip install 'limner[llm]'")

SIZES = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "image_size": 32, "patch_size": 8}
PIXELS = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4]}


def saved(folder: Path, model) -> Path:
    for index, weight in enumerate(model.parameters()):  # real models have norms and biases that are not 1 and 0
        with torch.no_grad():
            weight.add_(0.1 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(index)))
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(PIXELS))
    return folder


def clip(vision: bool):
    tower = transformers.CLIPVisionConfig(**SIZES, intermediate_size=64)
    if vision:
        return transformers.CLIPVisionModel(tower)
    text = transformers.CLIPTextConfig(vocab_size=50, hidden_size=32, num_hidden_layers=1, num_attention_heads=2)
    config = transformers.CLIPConfig(text_config=text.to_dict(), vision_config=tower.to_dict(), projection_dim=16)
    return transformers.CLIPModel(config)


def siglip(vision: bool):
    tower = transformers.SiglipVisionConfig(**SIZES, intermediate_size=64)
    if vision:
        return transformers.SiglipVisionModel(tower)
    text = transformers.SiglipTextConfig(vocab_size=50, hidden_size=32, num_hidden_layers=1, num_attention_heads=2)
    config = transformers.SiglipConfig(text_config=text.to_dict(), vision_config=tower.to_dict())
    return transformers.SiglipModel(config)


def dinov2(vision: bool):
    return transformers.Dinov2Model(transformers.Dinov2Config(**SIZES))


TOWERS = [(clip, True), (clip, False), (siglip, True), (siglip, False), (dinov2, True)]


@pytest.fixture(params=TOWERS, ids=lambda pair: f"{pair[0].__name__}-{'tower' if pair[1] else 'whole'}")
def folder(request, tmp_path: Path) -> Path:
    make, vision = request.param
    torch.manual_seed(0)
    return saved(tmp_path / "model", make(vision))


@pytest.fixture
def image() -> torch.Tensor:
    return torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1


@torch.no_grad()
def test_it_sees_what_the_library_sees(folder, image):
    from limner.encoders.encoder import VisionEncoder
    from limner.encoders.pretrained import PretrainedEncoder

    encoder = PretrainedEncoder.read(folder)
    assert isinstance(encoder, VisionEncoder)
    assert (encoder.size, encoder.width, encoder(image).grid) == (32, 32, (4, 4))
    model = transformers.AutoModel.from_pretrained(folder).eval()
    tower = getattr(model, "vision_model", model)
    mean, deviation = (torch.tensor(PIXELS[key])[:, None, None] for key in ("image_mean", "image_std"))
    wanted = tower(pixel_values=((image + 1) / 2 - mean) / deviation, output_hidden_states=True)
    extra = wanted.last_hidden_state.shape[1] - 16
    assert extra in (0, 1)
    features = encoder(image).vectors
    assert features.shape == (2, 16, 32)
    assert torch.allclose(features, wanted.last_hidden_state[:, extra:], atol=1e-5)
    assert torch.allclose(encoder(image).pooled, wanted.pooler_output, atol=1e-5)
    before_last = PretrainedEncoder.read(folder, layer=-2)(image).vectors
    if wanted.hidden_states is not None:  # early versions of the library list them of some towers only
        assert torch.allclose(before_last, wanted.hidden_states[-2][:, extra:], atol=1e-5)
    assert not torch.allclose(before_last, features, atol=1e-2)


@torch.no_grad()
def test_patches_lie_row_by_row(folder, image):
    """The feature of a patch answers most to a change of that very patch."""
    from limner.encoders.pretrained import PretrainedEncoder

    encoder = PretrainedEncoder.read(folder)
    changed = image.clone()
    changed[:, :, 8:16, 24:32] *= -1  # row 1, column 3
    moved = (encoder(changed).vectors - encoder(image).vectors).norm(dim=-1)
    assert moved.argmax(1).tolist() == [7, 7]


@torch.no_grad()
def test_other_sizes_are_resized(folder):
    from limner.encoders.pretrained import PretrainedEncoder

    encoder = PretrainedEncoder.read(folder)
    plain = torch.full((1, 3, 64, 48), 0.3)
    assert torch.allclose(encoder(plain).pooled, encoder(torch.full((1, 3, 32, 32), 0.3)).pooled, atol=1e-5)


@torch.no_grad()
def test_the_towers_attention_is_the_weight_of_patches(folder, image):
    from limner.encoders.class_attention import ClassWeighted
    from limner.encoders.pretrained import PretrainedEncoder

    encoder = PretrainedEncoder.read(folder, layer=-2)
    before = encoder(image)
    weighted = ClassWeighted(encoder, start=1)(image)
    assert torch.allclose(weighted.vectors, before.vectors, atol=1e-5)
    model = transformers.AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
    tower = getattr(model, "vision_model", model)
    mean, deviation = (torch.tensor(PIXELS[key])[:, None, None] for key in ("image_mean", "image_std"))
    maps = tower(pixel_values=((image + 1) / 2 - mean) / deviation, output_attentions=True).attentions
    if not maps or maps[0] is None:
        pytest.skip("this version of the library does not list the attention of this tower")
    extra = maps[0].shape[-1] - 16
    rows = [one.mean(1)[:, 0, 1:] if extra else one.mean(1).mean(1) for one in maps]
    assert torch.allclose(weighted.weight, sum(rows[1:-1]), atol=1e-5)


def test_gradients_reach_the_tower(folder, image):
    from limner.encoders.pretrained import PretrainedEncoder

    encoder = PretrainedEncoder.read(folder)
    encoder(image).vectors.square().mean().backward()
    assert sum(weight.grad is not None for weight in encoder.parameters()) > 20


def test_a_shape_without_weights_is_filled(folder, image):
    from limner.encoders.pretrained import PretrainedEncoder

    encoder = PretrainedEncoder.read(folder)
    for weights in folder.glob("*.safetensors"):
        weights.unlink()
    shaped = PretrainedEncoder.shaped(folder)
    with torch.no_grad():
        assert not torch.allclose(shaped(image).vectors, encoder(image).vectors, atol=1e-2)
        shaped.load_state_dict(encoder.state_dict())
        assert torch.equal(shaped(image).vectors, encoder(image).vectors)


def test_what_cannot_be_read_is_refused(tmp_path):
    from limner.encoders.pretrained import PretrainedEncoder
    from limner.errors import InputError

    with pytest.raises(InputError, match="does not say how pixels are normalised"):
        PretrainedEncoder.read(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(PIXELS))
    with pytest.raises(InputError, match="cannot be read as a vision model"):
        PretrainedEncoder.read(tmp_path)
    words = transformers.BertConfig(vocab_size=20, hidden_size=16, num_hidden_layers=1, num_attention_heads=2)
    saved(tmp_path / "bert", transformers.BertModel(words))
    with pytest.raises(InputError, match="holds a bert, which sees no patches"):
        PretrainedEncoder.read(tmp_path / "bert")
