"""The judges that ship: they must be right about real pictures before they may judge drawn ones."""

from __future__ import annotations

import pytest
import torch


def load(name: str):
    from limner.store.files import shipped_models
    from limner.store.folder import load

    if name not in shipped_models():
        pytest.skip(f"no {name} ships yet")
    return load(name)


@pytest.mark.parametrize("split", ["heldout", "compositions"])
def test_the_recogniser_reads_real_scenes(split):
    from limner.data.scenes import Scenes
    from limner.lessons.recogniser import read_scenes

    scores = read_scenes(load("recogniser"), Scenes(77, split=split, objects=(1, 2)), 200)
    assert min(scores["read/shape"], scores["read/colour"], scores["read/size"]) >= 0.99


def test_the_recogniser_names_real_emoji_also_when_softened():
    from limner.data.emoji import Emoji
    from limner.encoders import views

    model, emoji = load("recogniser"), Emoji("all")
    chosen = range(0, len(emoji), 9)
    image = views.to_tensor(emoji[i].image for i in chosen)
    wanted = torch.tensor([emoji.canonical(i) for i in chosen])
    clean = (model.name_emoji(views.to_network(image))[0] == wanted).float().mean()
    soft = views.blur(image, torch.full((len(image),), 0.7))
    softened = (model.name_emoji(views.to_network(soft))[0] == wanted).float().mean()
    assert clean >= 0.99
    assert softened >= 0.97


def test_the_recogniser_sees_nothing_where_nothing_is():
    from limner.encoders import views

    model = load("recogniser")
    kinds = torch.arange(4).repeat_interleave(8)
    behind = views.backdrops(kinds, views.draws(5, 0, 32, 12), 64)
    noise = 0.5 + 0.3 * views.grain(5, 0, 32, 64)
    assert sum(map(len, model.read(views.to_network(behind)))) <= 1
    assert sum(map(len, model.read(views.to_network(noise)))) <= 1


@pytest.mark.parametrize("kind", ["blur", "noise", "blocks", "warp"])
def test_the_feature_net_sees_damage_grow(kind):
    from limner.data.emoji import Emoji
    from limner.encoders import views
    from limner.tokenizers.perceptual import perceptual_distance

    net, emoji = load("features"), Emoji("heldout")
    image = views.to_tensor(emoji[i].image for i in range(32))
    noise = views.grain(5, 0, 32, 64)
    kinds = torch.full((32,), views.DAMAGES.index(kind))
    distances = []
    with torch.no_grad():
        for level in (0.0, 0.33, 0.66, 1.0):
            worse = views.damage(image, kinds, torch.full((32,), level), noise)
            distance = perceptual_distance(net.maps, views.to_network(worse), views.to_network(image))
            distances.append(distance.mean().item())
    assert 0 < distances[0] < distances[1] < distances[2] < distances[3]
