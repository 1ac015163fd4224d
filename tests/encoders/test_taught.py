"""What captions teach: the models around the objectives, and their vocabulary."""

from __future__ import annotations

import pytest
import torch

CAPTIONS = ["a red heart", "a blue star", "a green ring", "two things: a red heart and a blue star"]


def pictures(count: int = 4) -> torch.Tensor:
    return torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1


def vision():
    from limner.encoders.vit import VisionTransformer

    return VisionTransformer(size=16, patch=8, width=16, depth=1, heads=2)


def classifier(**changed):
    from limner.encoders.objectives.subword_set import SubwordFrequency
    from limner.encoders.subwords import SubwordClassifier, SubwordHead

    torch.manual_seed(0)
    return SubwordClassifier(vision(), SubwordHead(16, 32, **changed), SubwordFrequency(32, drop=(0,)))


def towers(objective):
    from limner.encoders.text import TextTransformer
    from limner.encoders.two_towers import TwoTowers

    torch.manual_seed(0)
    text = TextTransformer(32, count=12, width=8, depth=2, heads=2)
    return TwoTowers(vision(), text, objective, joint=6)


@torch.no_grad()
def test_patches_say_what_the_picture_says():
    plain = classifier(normalised=False).eval()
    assert torch.allclose(plain.patch_logits(pictures()).mean(1), plain(pictures()), atol=1e-5)
    deep = classifier(depth=1).eval()
    assert not torch.allclose(deep.patch_logits(pictures()).mean(1), deep(pictures()), atol=1e-3)


@torch.no_grad()
def test_inner_products_are_log_likelihoods():
    model = classifier().train()
    ids = torch.tensor([[1, 2, 3, 0], [4, 2, 0, 0], [5, 6, 7, 8], [9, 2, 0, 0]])
    loss = model.loss(pictures(), ids)
    model.eval()
    fit = model.encode_image(pictures()) @ model.encode_ids(ids).T
    assert float(-fit.diagonal().mean()) == pytest.approx(float(loss), abs=1e-5)


@torch.no_grad()
def test_the_text_tower_reads_to_the_last_subword_and_no_further():
    from limner.encoders.text import TextTransformer
    from limner.nn.blocks import Context

    torch.manual_seed(0)
    tower = TextTransformer(32, count=8, width=8, depth=2, heads=2).eval()
    short, long = torch.tensor([[3, 4, 5, 0]]), torch.tensor([[3, 4, 5, 0, 0, 0], [9, 8, 7, 6, 5, 0]])
    assert torch.allclose(tower(short)[0], tower(long)[0], atol=1e-6)
    holed = torch.tensor([[3, 0, 5, 0]])  # CLIP's byte "!" has the id that pads
    x = tower.embed(holed[:, :3]) + tower.position[:3]
    for block in tower.blocks:
        x = block(x, Context(tower.visible[:3, :3]))
    assert torch.allclose(tower(holed), tower.norm(x)[:, -1], atol=1e-6)
    assert not torch.allclose(tower(holed), tower(torch.tensor([[3, 5, 0, 0]])), atol=1e-3)
    assert tower(torch.zeros(1, 4, dtype=torch.long)).isfinite().all()


@torch.no_grad()
def test_two_towers_meet_as_unit_vectors():
    from limner.encoders.objectives.infonce import InfoNce

    model = towers(InfoNce()).eval()
    ids = torch.tensor([[1, 2, 0], [3, 0, 0], [4, 5, 6], [7, 0, 0]])
    for encoded in (model.encode_image(pictures()), model.encode_ids(ids)):
        assert encoded.shape == (4, 6)
        assert torch.allclose(encoded.norm(dim=1), torch.ones(4), atol=1e-5)
    assert model.loss(pictures(), ids) == model.objective(model.encode_image(pictures()), model.encode_ids(ids))


def test_a_matcher_reads_captions_and_carries_its_words():
    from limner.encoders.encoder import ImageText
    from limner.encoders.matcher import CaptionLearner, ImageTextModel
    from limner.languages.subwords import Subwords

    model = classifier().train()
    assert isinstance(model, CaptionLearner)
    matcher = ImageTextModel(model, Subwords.trained(CAPTIONS, size=32, length=24))
    assert isinstance(matcher, ImageText)
    model.frequency.observe(matcher.subwords.encode(CAPTIONS))
    matcher.eval()
    assert matcher.encode_text(CAPTIONS).shape == (4, 32)
    assert matcher.encode_image(pictures()).shape == (4, 32)
    other = ImageTextModel(classifier(), Subwords(24))
    other.load_state_dict(matcher.state_dict())
    assert torch.equal(other.encode_text(CAPTIONS), matcher.encode_text(CAPTIONS))
    assert other.encoder is other.learner.encoder


@pytest.mark.parametrize("name", ["subwords", "infonce", "sigmoid"])
def test_it_learns_four_pictures_by_heart(name):
    from limner.encoders.matcher import ImageTextModel
    from limner.encoders.objectives.infonce import InfoNce
    from limner.encoders.objectives.sigmoid import PairwiseSigmoid
    from limner.languages.subwords import Subwords

    made = {
        "subwords": lambda: classifier(normalised=False),
        "infonce": lambda: towers(InfoNce()),
        "sigmoid": lambda: towers(PairwiseSigmoid()),
    }
    matcher = ImageTextModel(made[name](), Subwords.trained([*CAPTIONS[:3], "a blue ring"], size=32, length=12)).train()
    captions = [*CAPTIONS[:3], "a blue ring"]
    ids = matcher.subwords.encode(captions)
    optimizer = torch.optim.Adam(matcher.parameters(), 0.01)
    for _ in range(60):
        optimizer.zero_grad()
        matcher.learner.loss(pictures(), ids).backward()
        optimizer.step()
    matcher.eval()
    with torch.no_grad():
        fit = matcher.encode_image(pictures()) @ matcher.encode_text(captions).T
    assert fit.argmax(1).tolist() == [0, 1, 2, 3]


def test_weights_that_were_saved_under_a_former_name_are_read() -> None:
    from pathlib import Path

    from limner.recipes.encoders.siglip import RECIPE
    from limner.store.files import fill

    knobs = RECIPE.knobs(**RECIPE.tiny)
    first, other = RECIPE.build(knobs), RECIPE.build(knobs)
    former = {name.replace("learner.", "taught.", 1): value for name, value in first.state_dict().items()}
    assert any(name.startswith("taught.") for name in former)
    fill(other, former, Path("saved"))
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in first.state_dict().items())
