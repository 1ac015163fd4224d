"""Recipes of encoders that captions teach: their words, their experiments made tiny."""

from __future__ import annotations

import importlib
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

pytestmark = pytest.mark.timeout(300)  # the first test of a session trains what it needs

SUPERCLASS = "encoders/superclass"
CLAIMED = {SUPERCLASS: 3, "encoders/clip": 2}


@pytest.fixture
def tiny_teaching(monkeypatch):
    from limner.evaluate import linear_probe
    from limner.experiments.encoders import teaching
    from limner.lessons import pairs as captioned

    monkeypatch.setattr(linear_probe, "ITERATIONS", 3)
    monkeypatch.setattr(teaching, "BATCHES", (4, 8))
    monkeypatch.setattr(teaching, "MEASURED", 10)
    monkeypatch.setattr(teaching, "TIMED", 1)
    tiny = {"size": 16, "patch": 8, "width": 64, "depth": 1, "vocabulary": 512}
    monkeypatch.setattr(teaching, "ENCODER", {**teaching.ENCODER, **tiny})
    monkeypatch.setattr(captioned, "READ", 100)
    monkeypatch.setattr(captioned, "HELD_OUT", 4)
    return teaching


@pytest.fixture(scope="module")
def proofs(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("proofs")


def numbers(value: Any) -> list[float]:
    if isinstance(value, dict):
        return [number for item in value.values() for number in numbers(item)]
    return [number for item in value for number in numbers(item)] if isinstance(value, list) else [value]


@pytest.mark.parametrize("path", CLAIMED)
def test_claims_are_measured_and_resumed(tiny_teaching, proofs, path):
    from limner.experiments.experiment import Experiment
    from limner.store.folder import find_recipe

    said: list[str] = []
    experiment = Experiment(seeds=(0, 1), scale=0.0005, directory=proofs / path.split("/")[1], say=said.append)
    assert len(find_recipe(path).claims) == CLAIMED[path]
    proving = importlib.import_module("limner.experiments." + path.replace("/", "."))
    findings = proving.findings(experiment)
    assert len(findings) == CLAIMED[path]
    assert said
    for finding in findings:
        assert isinstance(finding.holds, bool)
        assert json.loads(json.dumps(finding.measured)) == finding.measured
        assert all(math.isfinite(number) for number in numbers(finding.measured))
    written = {file: file.stat().st_mtime_ns for file in proofs.glob("encoders/*/images-*/*")}
    assert written
    again = proving.findings(experiment)
    assert {file: file.stat().st_mtime_ns for file in proofs.glob("encoders/*/images-*/*")} == written
    assert [finding.measured for finding in again] == [finding.measured for finding in findings]


def test_arms_start_from_the_same_encoder_and_see_the_same(tiny_teaching):
    first, second = (tiny_teaching.task_of(tiny_teaching.knobs_of(arm, 4, 3, 16)) for arm in ("superclass", "clip"))
    ours, theirs = (task.model.encoder.state_dict() for task in (first, second))
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())
    one, other = first.batch(4, 4), second.batch(4, 4)
    assert all(torch.equal(one[name], other[name]) for name in ("image", "ids"))


def test_a_larger_batch_learns_faster_and_sees_as_much(tiny_teaching):
    small, large = (tiny_teaching.knobs_of("clip", batch, 0, 64) for batch in (32, 128))
    assert (large.lr, large.muon) == pytest.approx((2 * small.lr, 2 * small.muon))
    assert small.images == large.images


def test_a_batch_is_a_pure_function_of_its_numbers(trained):
    task = trained(SUPERCLASS).run.task
    whole, part = task.batch(0, 12), task.batch(5, 4)
    for name in ("image", "ids"):
        assert torch.equal(whole[name][5:9], part[name])
    assert whole["image"].abs().max() <= 1


def test_no_training_caption_names_what_is_held_out(trained):
    from limner.data.scenes import HELD_OUT_NAMES

    stream = trained(SUPERCLASS).run.task.stream
    captions = {example.caption for example in stream.take(0, 600)}
    assert not captions & HELD_OUT_NAMES
    assert not [caption for caption in captions for name in HELD_OUT_NAMES if name in caption and "," not in caption]


def test_evaluation_leaves_the_statistics_alone(trained):
    import limner

    zoo = trained(SUPERCLASS)
    model = limner.load(zoo.name)
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    frequency = model.taught.frequency
    assert float(frequency.steps) == zoo.run.steps
    assert frequency.counts.dtype == torch.float64
    ids = model.subwords.encode(["a red heart"])
    model.taught.loss(torch.zeros(1, 3, 16, 16), ids)
    zoo.run.task.validate(model)
    assert all(torch.equal(buffer, before[name]) for name, buffer in model.named_buffers())


def test_classes_can_be_another_models_words(trained, tmp_path):
    from limner.errors import InputError
    from limner.store.folder import find_recipe

    clip, recipe = trained("encoders/clip"), find_recipe(SUPERCLASS)
    tiny = {"size": 16, "patch": 8, "width": 64, "depth": 1, "vocabulary": 512, "out": tmp_path}
    task = recipe.task(recipe.knobs(**tiny, subwords=clip.name))
    theirs = clip.run.task.model.subwords.vocabulary
    assert task.model.subwords.vocabulary.get_vocab() == theirs.get_vocab()
    with pytest.raises(InputError, match="more than --vocabulary 64"):
        recipe.task(recipe.knobs(**{**tiny, "vocabulary": 64}, subwords=clip.name))
    trained("encoders/features")
    with pytest.raises(InputError, match="features has no subwords"):
        recipe.task(recipe.knobs(**tiny, subwords="features"))
