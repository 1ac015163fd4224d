"""The small world of understanding, smaller still: what is taught and asked, and the experiments behind the claims."""

from __future__ import annotations

import importlib
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

pytestmark = pytest.mark.timeout(300)  # the first test of a session trains what it needs

CLAIMED = {"llava": 2, "ovis": 2, "language_basis": 3, "ross_r": 3, "ross_d": 3}


@pytest.fixture
def tiny_world(shipped, monkeypatch):
    from limner.experiments.understanding import world
    from limner.lessons import pairs as captioned

    shipped("tokenizers/vae")
    sizes = {"SIZE": 16, "WIDTH": 64, "DEPTH": 1, "SHOWN": 8, "HELD_OUT": 16, "TURNS": 8, "SPOKEN": 60}
    for name, value in sizes.items():
        monkeypatch.setattr(world, name, value)
    monkeypatch.setattr(captioned, "READ", 20)
    monkeypatch.setattr(captioned, "HELD_OUT", 4)
    world.world.cache_clear()
    return world


@pytest.fixture(scope="module")
def proofs(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("proofs")


def numbers(value: Any) -> list[float]:
    if isinstance(value, dict):
        return [number for item in value.values() for number in numbers(item)]
    return [number for item in value for number in numbers(item)] if isinstance(value, list) else [value]


@pytest.mark.parametrize("name", CLAIMED)
def test_claims_are_measured_and_resumed(tiny_world, proofs, name):
    from limner.experiments.experiment import Experiment
    from limner.store.folder import find_recipe

    said: list[str] = []
    experiment = Experiment(seeds=(0,), scale=0.004, directory=proofs / name, say=said.append)
    proving = importlib.import_module(f"limner.experiments.understanding.{name}")
    findings = proving.findings(experiment)
    assert len(findings) == len(find_recipe(f"understanding/{name}").claims) == CLAIMED[name]
    assert said
    for finding in findings:
        assert isinstance(finding.holds, bool)
        assert json.loads(json.dumps(finding.measured)) == finding.measured
        assert all(math.isfinite(number) for number in numbers(finding.measured))
    written = {file: file.stat().st_mtime_ns for file in proofs.glob("understanding/*/images-*/*")}
    assert written
    again = proving.findings(experiment)
    assert {file: file.stat().st_mtime_ns for file in proofs.glob("understanding/*/images-*/*")} == written
    assert [finding.measured for finding in again] == [finding.measured for finding in findings]


def made(count: int = 2, width: int = 64) -> tuple[Any, Any]:
    """A fresh model that sees, and an album."""
    from limner.connectors.mlp import MlpConnector
    from limner.encoders.vit import VisionTransformer
    from limner.experiments.understanding.lessons import album, said, scenes
    from limner.languages.subwords import Subwords
    from limner.languages.transformer import LanguageTransformer
    from limner.models.vision_language import VisionLanguageModel

    torch.manual_seed(0)
    source = scenes(0, "train", 16, count)
    vocabulary = Subwords.trained(said(source, count), size=128, length=40, speaks=True)
    encoder = VisionTransformer(size=16, patch=8, width=width, depth=1, heads=1)
    language = LanguageTransformer(len(vocabulary), width=width, depth=1, heads=1)
    model = VisionLanguageModel(encoder, MlpConnector(width, width), language, vocabulary)
    return model, album(source, encoder, 6)


def test_a_mark_says_whether_greedy_speech_is_right():
    from limner.evaluate.answering import same
    from limner.experiments.understanding.lessons import Seeing, marks
    from limner.nn.pixels import to_tensor
    from limner.types import Rng

    model, pictures = made()
    task = Seeing(model, pictures, seed=0)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=5e-3)
    for step in range(12):
        optimizer.zero_grad()
        task.loss(model, task.batch(2 * step, 2), Rng(step))[0].backward()
        optimizer.step()
    asked = [(scene.image, turn) for scene, turns in zip(pictures.shown, pictures.turns, strict=True) for turn in turns]
    asked = [(image, turn) for image, turn in asked if turn.kind != "caption"]
    images, turns = zip(*asked, strict=True)
    spoken = model.answers(to_tensor(list(images)), [turn.question for turn in turns])
    right = [same(one, turn.answer) for one, turn in zip(spoken, turns, strict=True)]
    assert {True, False} == set(right)
    assert marks(model, pictures) == [(turn.kind, one) for turn, one in zip(turns, right, strict=True)]
    blind = model.answers(None, [turn.question for turn in turns])
    assert [one for _, one in marks(model, pictures, blind=True)] == [
        same(one, turn.answer) for one, turn in zip(blind, turns, strict=True)
    ]


def test_a_caption_stands_where_a_picture_will_stand():
    from limner.data.conversations import Turn
    from limner.experiments.understanding.lessons import captioned
    from limner.unified.segments import NOTHING, PADDING

    model, _ = made()
    captions = ["a red heart in the middle", "a star"]
    packed = captioned(
        captions, [[Turn("What colour is the heart?", "red")], [Turn("What?", "star")]], model.vocabulary
    )
    for row, caption in enumerate(captions):
        ids = model.vocabulary.ids(caption)
        assert packed.ids[row, : len(ids)].tolist() == ids
        assert packed.targets[row, : len(ids)].tolist() == [*ids[1:], NOTHING]
        assert (packed.branches[row, : len(ids)] == 0).all()
        assert packed.positions[row, : len(ids) + 1].tolist() == list(range(len(ids) + 1))
    assert (packed.blocks == 0).all()
    assert packed.branches[1, -1] == PADDING
    first = packed.visible()[0]
    count = len(model.vocabulary.ids(captions[0]))
    assert first[count, :count].all()
    assert not first[0, 1:].any()


def test_a_shuffled_album_shows_other_pictures():
    from limner.experiments.understanding.lessons import Seeing, Supervision
    from limner.unified.reconstruction import Regression

    model, pictures = made(3)
    values = torch.arange(3.0).reshape(3, 1, 1).expand(3, 4, 2)
    own = Seeing(model, pictures, 0, supervision=Supervision(Regression(64, 2), values)).batch(0, 3)
    other = Seeing(model, pictures, 0, shuffled=True).batch(0, 3)
    misled = Seeing(model, pictures, 0, supervision=Supervision(Regression(64, 2), values, shuffled=True)).batch(0, 3)
    assert sorted(own["values"][:, 0, 0].tolist()) == [0.0, 1.0, 2.0]
    assert torch.equal(own["ids"], other["ids"])
    assert all(not torch.equal(a, b) for a, b in zip(own["features"], other["features"], strict=True))
    assert torch.equal(own["features"], misled["features"])
    assert (own["values"] != misled["values"]).all()
    assert set(own) - set(other) == {"values"}


def test_majority_is_the_commonest_answer():
    from limner.data.conversations import Turn
    from limner.experiments.understanding.lessons import Album
    from limner.experiments.understanding.world import majority

    turns = [tuple(Turn("?", answer, "colour") for answer in (*answers, "")) for answers in (["red", "red"], ["blue"])]
    assert majority(Album([], turns, torch.zeros(2, 1, 1), (1, 1))) == {"colour": 2 / 3, "overall": 2 / 3}
