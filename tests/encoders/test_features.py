from __future__ import annotations

import pytest
import torch


@pytest.fixture(scope="module")
def task():
    from limner.encoders.features import FeatureNet
    from limner.lessons.features import FeatureTraining

    torch.manual_seed(0)
    return FeatureTraining(FeatureNet(widths=(8, 16, 24), depths=(1, 1, 1), pooled_dim=32), seed=3, size=32)


@pytest.mark.parametrize("size", [32, 64, 96])
def test_maps_and_pooled_vector_of_any_size(size):
    from limner.encoders.features import FeatureNet

    net = FeatureNet()
    image = torch.rand(2, 3, size, size) * 2 - 1
    assert [tuple(m.shape[1:]) for m in net.maps(image)] == [
        (width, size // stride, size // stride) for width, stride in ((24, 2), (48, 4), (96, 8))
    ]
    assert net.pooled(image).shape == (2, 192)
    assert torch.equal(net(image)[2], net.maps(image)[2])
    assert sum(parameter.numel() for parameter in net.parameters()) <= 450_000


def test_a_batch_is_a_pure_function_of_its_numbers(task):
    whole, part = task.batch(0, 16), task.batch(5, 7)
    for name, value in part.items():
        assert torch.equal(whole[name][5:12], value), name


def test_a_batch_asks_what_can_be_answered(task):
    batch = task.batch(0, 64)
    emoji, scene, photo = batch["name"] >= 0, batch["is_scene"], batch["photo"] >= 0
    assert (emoji.int() + scene.int() + photo.int() == 1).all()
    assert torch.equal(emoji, batch["subgroup"] >= 0)
    assert torch.equal(photo, batch["backdrop"] < 0)
    assert (batch["attributes"].sum(1) > 0).eq(scene).all()
    assert batch["image"].min() >= -1
    assert batch["image"].max() <= 1
    assert 0.1 < (batch["damage"] == 0).float().mean() < 0.5


def test_held_out_emoji_are_never_shown(task):
    from limner.data.emoji import Emoji

    assert len(task.rgba) == len(Emoji("train"))


def test_twenty_steps_lower_the_loss_and_train_net_and_heads(task):
    from limner.types import Rng

    batch = task.batch(0, 32)
    parameters = [*task.model.parameters(), *task.heads.parameters()]
    before = [parameter.clone() for parameter in parameters]
    optimizer = torch.optim.AdamW(parameters, lr=3e-3)
    losses = []
    for _ in range(20):
        loss, metrics = task.loss(task.model, batch, Rng(0))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
    assert all(not torch.equal(a, b) for a, b in zip(before, parameters, strict=True))
    assert set(metrics) == {f"accuracy/{q}" for q in ("name", "subgroup", "photo", "backdrop", "damage", "attributes")}


def test_validation_gives_shares_and_the_preview_pictures(task):
    scores = task.validate(task.model)
    assert all(0 <= score <= 1 for score in scores.values())
    assert task.task().preview(task.model).shape == (32, 3, 32, 32)
