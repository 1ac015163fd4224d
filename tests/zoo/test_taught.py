"""Recipes of encoders that captions teach: their data, their words, their statistics."""

from __future__ import annotations

import pytest
import torch

pytestmark = pytest.mark.timeout(300)  # the first test of a session trains what it needs

SUPERCLASS = "encoders/superclass"


def test_a_batch_is_a_pure_function_of_its_numbers(trained):
    task = trained(SUPERCLASS).run.task
    whole, part = task.batch(0, 12), task.batch(5, 4)
    for name in ("image", "ids"):
        assert torch.equal(whole[name][5:9], part[name])
    assert whole["image"].abs().max() <= 1


def test_no_training_caption_names_what_is_held_out():
    from limner.data.scenes import HELD_OUT_NAMES
    from limner.lessons.pairs import stream

    captions = {example.caption for example in stream(16, 0).take(0, 600)}
    assert not captions & HELD_OUT_NAMES
    assert not [caption for caption in captions for name in HELD_OUT_NAMES if name in caption and "," not in caption]


def test_evaluation_leaves_the_statistics_alone(trained):
    import limner

    zoo = trained(SUPERCLASS)
    model = limner.load(zoo.name)
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    frequency = model.learner.frequency
    assert float(frequency.steps) == zoo.run.steps
    assert frequency.counts.dtype == torch.float64
    ids = model.subwords.encode(["a red heart"])
    model.learner.loss(torch.zeros(1, 3, 16, 16), ids)
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
