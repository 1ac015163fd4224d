"""SuperClass against the authors' code: the model, the online weights and the loss of every recorded step."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.parity.goldens import Golden, agree, described, goldens
from torch import Tensor, multiprocessing

from limner.encoders.objectives.subword_set import SubwordFrequency
from limner.encoders.subwords import SubwordClassifier
from limner.errors import CheckpointError
from limner.store.official.superclass import (
    NAMES,
    RELEASES,
    VIT_B_16,
    VIT_L_14,
    VIT_L_16,
    SuperClassSizes,
    official_classifier,
    sizes_of,
)
from limner.store.release import fill, official_name

SUMMED = 1e-6  # relative: the authors' ranks sum in fp32, in an order of their own
MODELS = goldens("superclass_model", having="out.logits")
LOSSES = goldens("superclass_loss", having="out.rank0.loss.0")


def test_no_golden_is_missing() -> None:
    assert MODELS
    assert LOSSES


def sizes(golden: Golden) -> SuperClassSizes:
    """What the weights tell, and the heads, which only the card does."""
    return replace(sizes_of(golden.state()), heads=golden.config["heads"])


def filled(golden: Golden) -> SubwordClassifier:
    assert (golden.config["embed_dim"], golden.config["pool_type"]) == (0, "avg")
    model = official_classifier(sizes(golden)).eval()
    fill(model, golden.state(), NAMES)
    return model


# Model


@pytest.mark.parametrize("golden", MODELS)
@torch.no_grad()
def test_encoder_and_classifier(golden: Golden) -> None:
    model = filled(golden)
    agree(model.encoder(golden["in.image"]).pooled, golden["out.image_embs"])
    agree(model(golden["in.image"]), golden["out.logits"])
    assert torch.equal(golden["in.text"], golden["out.labels"])  # the labels are the ids themselves


@pytest.mark.parametrize("golden", MODELS)
@torch.no_grad()
def test_pooled_is_the_mean_of_the_patches(golden: Golden) -> None:
    encoder = filled(golden).encoder
    features = encoder(golden["in.image"]).vectors
    assert features.shape[1] == (golden.config["image"] // golden.config["patch"]) ** 2
    agree(features.mean(1), golden["out.image_embs"])


@pytest.mark.parametrize("golden", MODELS)
def test_every_official_tensor_has_its_place(golden: Golden) -> None:
    model = filled(golden)
    ours = {official_name(name, NAMES): value for name, value in model.state_dict().items()}
    for name, wanted in golden.state().items():
        assert torch.equal(ours[name].float(), wanted.float()), name
    assert set(ours) - set(golden.state()) == {"frequency.group"}


@pytest.mark.parametrize("golden", MODELS)
def test_a_release_is_recognised_and_measured(golden: Golden) -> None:
    (release,) = RELEASES
    config = golden.config
    state = {**golden.state(), **described(**config)}
    assert release.fits(state)
    found = sizes_of(state)
    assert (found.width, found.depth, found.patch, found.size) == tuple(
        config[key] for key in ("width", "layers", "patch", "image")
    )
    assert (found.hidden, found.vocabulary) == (int(config["width"] * config["mlp_ratio"]), config["vocab"])
    assert found.head_depth == config["head_layers"]
    assert found.heads == config["heads"]
    with pytest.raises(CheckpointError, match="make no SuperClass"):
        release.build({**state, "visual.positional_embedding": state["visual.positional_embedding"][:-1]})


@pytest.mark.parametrize(
    ("sizes", "tokens", "millions"), [(VIT_B_16, 197, 124), (VIT_L_16, 197, 354), (VIT_L_14, 257, 354)]
)
def test_published_sizes(sizes: SuperClassSizes, tokens: int, millions: int) -> None:
    with torch.device("meta"):
        model = official_classifier(sizes)
    assert len(model.encoder.position) == tokens
    assert round(sum(weight.numel() for weight in model.parameters()) / 1e6) == millions


# Loss


def steps(golden: Golden) -> range:
    return range(golden.card["steps"])


def ranks(golden: Golden) -> range:
    return range(golden.card["world_size"])


def inputs(golden: Golden, rank: int, step: int) -> tuple[Tensor, Tensor]:
    return golden[f"in.rank{rank}.logits.{step}"], golden[f"in.rank{rank}.labels.{step}"]


@pytest.mark.parametrize("golden", LOSSES)
def test_statistics_of_all_ranks(golden: Golden) -> None:
    """The mean over ranks of each one's batch is the mean over their batches together."""
    frequency = SubwordFrequency(golden.card["vocab"])
    for step in steps(golden):
        frequency.observe(torch.cat([inputs(golden, rank, step)[1] for rank in ranks(golden)]))
        for rank in ranks(golden):
            for found, name in ((frequency.counts, "cap_fq"), (frequency.steps, "num_samples")):
                agree(found, golden[f"out.rank{rank}.{name}.{step}"], SUMMED)
            agree(frequency.weights(), golden[f"out.rank{rank}.idf.{step}"], SUMMED)


@pytest.mark.parametrize("golden", LOSSES)
def test_loss_targets_and_gradients(golden: Golden) -> None:
    frequency = SubwordFrequency(golden.card["vocab"])
    for step in steps(golden):
        frequency.train().observe(torch.cat([inputs(golden, rank, step)[1] for rank in ranks(golden)]))
        frequency.eval()
        for rank in ranks(golden):
            check(golden, frequency, rank, step)


def check(golden: Golden, frequency: SubwordFrequency, rank: int, step: int) -> None:
    """Loss, gradient and targets of one rank, after the step was counted."""
    logits, ids = inputs(golden, rank, step)
    ordered, counted = frequency.subwords(ids)
    occurs = torch.zeros_like(logits).scatter_add_(1, ordered, counted.float())
    assert torch.equal(occurs, golden[f"out.rank{rank}.multi_hot.{step}"])
    weighted = golden[f"out.rank{rank}.weighted_targets.{step}"]
    agree(occurs * frequency.weights().float(), weighted)
    agree(frequency.dense(ids), torch.nn.functional.normalize(weighted, p=1, dim=1))
    logits = logits.clone().requires_grad_()
    loss = frequency(logits, ids)
    agree(loss, golden[f"out.rank{rank}.loss.{step}"])
    loss.backward()
    wanted = golden[f"out.rank{rank}.grad_logits.{step}"]
    assert logits.grad is not None
    scale = wanted.abs().max().clamp_min(1e-12)  # gradients are small: compare shares of the largest
    agree(logits.grad / scale, wanted / scale)


def in_training(golden: Golden, rank: int) -> None:
    """What a process of a training does, with the loss's own counting."""
    frequency = SubwordFrequency(golden.card["vocab"]).train()
    for step in steps(golden):
        logits, ids = inputs(golden, rank, step)
        agree(frequency(logits, ids), golden[f"out.rank{rank}.loss.{step}"])
        agree(frequency.weights(), golden[f"out.rank{rank}.idf.{step}"], SUMMED)


@pytest.mark.parametrize("golden", LOSSES)
def test_training_counts_before_it_weighs(golden: Golden, tmp_path: Path) -> None:
    if golden.card["world_size"] == 1:
        in_training(golden, 0)
        return
    multiprocessing.spawn(_process, (golden, tmp_path / "meet"), golden.card["world_size"])


def _process(rank: int, golden: Golden, meeting: Path) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{meeting}", rank=rank, world_size=golden.card["world_size"]
    )
    try:
        in_training(golden, rank)
    finally:
        torch.distributed.destroy_process_group()
