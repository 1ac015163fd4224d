"""Evaluations of encoders, on encoders that are made to know exactly one thing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
import torch


class MeanColour:
    """Sees of each patch its mean colour; puts words where their colours are."""

    size, width = 64, 3

    def __call__(self, image: torch.Tensor) -> Any:
        from limner.types import Patches

        means = torch.nn.functional.avg_pool2d(image, 8)
        return Patches.on_grid(means.flatten(2).mT, *means.shape[2:], self.encode_image(image))

    def encode_image(self, image: torch.Tensor) -> torch.Tensor:
        """The unit vector of what is not white."""
        return torch.nn.functional.normalize((1 - image).sum((2, 3)), dim=1)

    def encode_text(self, captions: Sequence[str]) -> torch.Tensor:
        from limner.data.scenes import RGB

        named = [[255.0 - torch.tensor(RGB[w]).float() for w in text.split() if w in RGB] for text in captions]
        rows = [torch.stack(one).sum(0) if one else torch.zeros(3) for one in named]
        return torch.nn.functional.normalize(torch.stack(rows), dim=1)


def gaussians(count: int, seed: int):
    from limner.evaluate.linear_probe import Labelled

    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(3, (count,), generator=generator)
    centres = torch.tensor([[5.0, 0, 0], [0, 500.0, 0], [0, 0, 0.05]])  # scales differ: they are standardised
    scale = torch.tensor([1.0, 100.0, 0.01])
    return Labelled(centres[labels] + scale * torch.randn(count, 3, generator=generator), labels)


def test_a_probe_reads_what_is_linear_and_guesses_what_is_not_there():
    from limner.evaluate.linear_probe import Labelled, linear_probe

    training, testing = gaussians(300, 0), gaussians(200, 1)
    assert linear_probe(training, testing) > 0.98
    shuffled = Labelled(testing.features, testing.labels.roll(1))
    assert 0.2 < linear_probe(training, shuffled) < 0.5
    noise = torch.randn(500, 60, generator=torch.Generator().manual_seed(2))
    assert linear_probe(Labelled(noise[:300], training.labels), Labelled(noise[300:], testing.labels)) < 0.5


def test_a_probe_is_fitted_to_the_optimum():
    """At the minimum the gradient vanishes."""
    from limner.evaluate.linear_probe import _fit

    split = gaussians(100, 3)
    split = split._replace(features=(split.features - split.features.mean(0)) / split.features.std(0))
    linear = _fit(split, 3, 1e-2)
    loss = torch.nn.functional.cross_entropy(linear(split.features), split.labels)
    (loss + 5e-3 * linear.weight.square().sum()).backward()
    assert all(weight.grad is not None and weight.grad.abs().max() < 1e-3 for weight in linear.parameters())


def test_probes_find_what_an_encoder_knows():
    from limner.evaluate.linear_probe import probe_scores

    scores = probe_scores(MeanColour(), 60)
    assert set(scores) == {
        f"probe/{part}"
        for part in ("colour", "shape", "size", "position", "patch_colour", "patch_shape", "emoji_group")
    }
    assert scores["probe/colour"] > 0.9
    assert scores["probe/patch_colour"] > 0.5  # rings and crescents have other colours at their centre
    assert scores["probe/shape"] < 0.4
    assert scores["probe/position"] < 0.4


def test_patches_are_those_under_the_things():
    from limner.data.scenes import RGB, Scenes
    from limner.evaluate.linear_probe import _patches

    scenes = Scenes(3, objects=(2, 2), split="train")
    full = [
        scene
        for scene in (scenes[i] for i in range(400))
        if all(thing.shape in ("square", "circle") and thing.size != "small" for thing in scene.things)
    ]
    features = _patches(MeanColour(), full)
    wanted = [torch.tensor(RGB[thing.colour]) / 127.5 - 1 for scene in full for thing in scene.things]
    assert len(features) == 2 * len(full) > 0
    assert torch.allclose(features, torch.stack(wanted), atol=0.35)


def test_classes_are_told_by_their_words():
    from limner.evaluate.zero_shot import classify, zero_shot_scores

    model = MeanColour()
    image = model.encode_text(["red", "blue"])
    assert classify(model, image, [["a blue star"], ["a red ring", "a red heart"]]).tolist() == [1, 0]
    scores = zero_shot_scores(model, 64, 40)
    assert scores["zero_shot/colour"] > 0.9
    assert scores["zero_shot/shape"] < 0.4  # all shapes of a colour fit equally
    assert scores["zero_shot/pair"] <= min(scores["zero_shot/colour"], scores["zero_shot/shape"])
    assert 0 <= scores["zero_shot/compositions"] < 0.4
    assert 0 <= scores["zero_shot/emoji_group"] < 0.6


def test_recall_counts_partners_among_the_nearest():
    from limner.evaluate.retrieval import recall_at

    similarity = torch.tensor([[3.0, 2.0, 1.0], [5.0, 4.0, 3.0], [9.0, 8.0, 7.0]])
    assert [recall_at(similarity, rank) for rank in (1, 2, 3)] == [pytest.approx(n / 3) for n in (1, 2, 3)]
    assert recall_at(torch.ones(5, 5), 1) == 0.0  # what says nothing retrieves nothing
    assert recall_at(torch.eye(4), 1) == 1.0


def test_retrieval_of_colours():
    from limner.evaluate.retrieval import held_out, retrieval_scores

    scores = retrieval_scores(MeanColour(), 64, 30)
    assert len(scores) == 8
    for direction in ("image_to_text", "text_to_image"):
        first, five = (scores[f"retrieval/scenes/{direction}@{rank}"] for rank in (1, 5))
        assert 0.2 < first < five
    worlds = held_out(64, 30)
    for examples in worlds.values():
        captions = [example.caption for example in examples]
        assert len(set(captions)) == len(captions) > 20


@pytest.mark.slow
def test_a_whole_report():
    from limner.evaluate.encoder import evaluate_encoder

    model = MeanColour()
    report = evaluate_encoder(model, model, model="mean", weights="none", count=12)
    assert json.loads(json.dumps(report)) == report
    assert list(report) == ["model", "protocol", "weights", "scores", "hash"]
    assert len(report["scores"]) == 7 + 5 + 8
    assert all(0 <= value <= 1 for value in report["scores"].values())
    assert report == evaluate_encoder(model, model, model="mean", weights="none", count=12)
    mute = evaluate_encoder(model, None, model="mean", weights="none", count=12)
    assert set(mute["scores"]) == {name for name in report["scores"] if name.startswith("probe/")}
    assert mute["protocol"] == report["protocol"]
