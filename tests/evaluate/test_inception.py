from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    from limner.evaluate.inception import InceptionV3

    torch.manual_seed(0)
    return {name: value.clone() for name, value in InceptionV3().state_dict().items()}


def test_the_keys_are_those_of_the_published_file(state):
    assert len([name for name in state if name.endswith("conv.weight")]) == 94
    published = {
        "Conv2d_1a_3x3.conv.weight": (32, 3, 3, 3),
        "Conv2d_4a_3x3.bn.running_var": (192,),
        "Mixed_5b.branch_pool.conv.weight": (32, 192, 1, 1),
        "Mixed_5d.branch5x5_2.conv.weight": (64, 48, 5, 5),
        "Mixed_6a.branch3x3.conv.weight": (384, 288, 3, 3),
        "Mixed_6b.branch7x7_2.conv.weight": (128, 128, 1, 7),
        "Mixed_6c.branch7x7dbl_4.conv.weight": (160, 160, 7, 1),
        "Mixed_6e.branch7x7dbl_5.conv.weight": (192, 192, 1, 7),
        "Mixed_7a.branch7x7x3_4.conv.weight": (192, 192, 3, 3),
        "Mixed_7b.branch3x3_2a.conv.weight": (384, 384, 1, 3),
        "Mixed_7c.branch3x3dbl_3b.conv.weight": (384, 384, 3, 1),
        "Mixed_7c.branch_pool.bn.bias": (192,),
        "fc.weight": (1008, 2048),
        "fc.bias": (1008,),
    }
    assert {name: tuple(state[name].shape) for name in published} == published
    # torchvision's inception_v3 has 23,834,568 parameters without its auxiliary head; FID's has 8 classes more.
    trained = [value.numel() for name, value in state.items() if name.endswith(("weight", "bias"))]
    assert sum(trained) == 23_834_568 + 8 * 2049


def test_weights_load_from_a_file_without_batch_counters(state, tmp_path):
    from limner.evaluate.inception import load_inception

    old = {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}
    save_file(old, tmp_path / "fid.safetensors")
    torch.save(old, tmp_path / "fid.pth")
    image = torch.rand(2, 3, 32, 48) * 2 - 1
    one, two = (load_inception(tmp_path / name) for name in ("fid.safetensors", "fid.pth"))
    features = one(image)
    assert features.shape == (2, 2048)
    assert not torch.allclose(features[0], features[1])
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert not one.training
    assert not any(parameter.requires_grad for parameter in one.parameters())


def test_the_padding_of_average_pools_is_not_counted(state):
    from limner.evaluate import inception

    ones = torch.ones(1, 1, 4, 4)
    assert torch.equal(inception._mean_pool(ones), ones)
    with torch.device("meta"):
        net = inception.InceptionV3()
    assert net.Mixed_7c.maximum
    assert not net.Mixed_7b.maximum


def test_other_files_are_refused_in_a_sentence(state, tmp_path):
    from limner.errors import InputError
    from limner.evaluate.inception import load_inception

    with pytest.raises(InputError, match="no file"):
        load_inception(tmp_path / "missing.pth")
    (tmp_path / "noise.pth").write_bytes(b"not weights")
    with pytest.raises(InputError, match="cannot be read"):
        load_inception(tmp_path / "noise.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(InputError, match="holds a list"):
        load_inception(tmp_path / "list.pth")
    save_file({"fc.weight": state["fc.weight"]}, tmp_path / "part.safetensors")
    with pytest.raises(InputError, match="not FID's Inception"):
        load_inception(tmp_path / "part.safetensors")
    save_file({**state, "fc.bias": torch.zeros(1000)}, tmp_path / "shape.safetensors")
    with pytest.raises(InputError, match=r"fc\.bias does not fit"):
        load_inception(tmp_path / "shape.safetensors")
