"""The second half of H5: arms of equal cost, one language model in both losses, tokens that enter through the words."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from studies.language_basis import hypotheses
from studies.language_basis.drawn import PARTS, single
from studies.language_basis.joint import (
    JOINT,
    Joint,
    Training,
    learned,
    operations,
    prepared,
    run,
)
from studies.language_basis.page import halves
from studies.language_basis.plan import JOINT_RATES, Results, joint_rate, joints
from studies.language_basis.pretrained import TRAINING, Pretrained
from studies.language_basis.sharing import cost_table, joint_section
from studies.language_basis.trial import Bench, bench
from studies.language_basis.world import KINDS

from limner.languages.transformer import LanguageTransformer
from limner.types import Rng
from limner.unified.segments import COLUMNS

SCALE = 0.004


@pytest.fixture(scope="module")
def on(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return bench(Pretrained(tmp_path_factory.mktemp("study"), SCALE, lambda line: None))


def training(arm: str, on: Bench) -> Training:
    return prepared(Joint(arm, 0, 0.01, TRAINING), on)


def test_a_training_is_measured_in_both_ways(on: Bench) -> None:
    found = run(Joint("shared", 0, 0.01, TRAINING), on)
    assert set(found["drawn"]["test"]) == {"all", *PARTS}
    assert set(found["test"]) == {"all", *KINDS}
    assert "test" not in run(Joint("draw", 0, 0.01, TRAINING), on)


def test_arms_that_learn_both_are_of_equal_cost(on: Bench) -> None:
    tasks = {arm: training(arm, on).task for arm in JOINT}
    spent, moved = (
        {arm: cost(Joint(arm, 0, 0.01, TRAINING), one) for arm, one in tasks.items()} for cost in (operations, learned)
    )
    for cost in (spent, moved):
        assert 0.95 < cost["shared"] / cost["separate"] < 1.05
        assert max(cost["see"], cost["draw"]) < cost["shared"] == cost["shuffled"]
    assert 0.95 < (spent["see"] + spent["draw"]) / spent["shared"] < 1.05


def test_drawn_tokens_enter_in_the_span_of_the_words_or_by_themselves(on: Bench) -> None:
    for arm, inside in (("shared", True), ("separate", False)):
        model = training(arm, on).task.model
        words = model.vision_language.language.words.detach()
        axes = torch.linalg.svd(words - words.mean(0), full_matrices=False).Vh[:32]
        made = model.generator
        vectors = (made.embed or made.head.embed)(torch.randn(3, 5, 48)) - words.mean(0)
        residue = vectors - vectors @ axes.mT @ axes
        assert bool(residue.abs().max() < 1e-4) == inside


def test_both_losses_teach_the_blocks_and_neither_the_words(on: Bench) -> None:
    for arm, kind in (("see", "text"), ("draw", "drawn")):
        task, history = training(arm, on)
        loss, found = task.loss(task.model, task.batch(0, 8), Rng(0))
        loss.backward()
        assert set(found) == {kind}
        assert [len(losses) for losses in history.values()] == [kind == "text", kind == "drawn"]
        language = task.model.vision_language.language
        assert language.words.grad is None
        assert isinstance(language, LanguageTransformer)
        assert all(weight.grad is not None for weight in language.blocks.parameters())


def test_arms_meet_the_same_in_the_same_order(on: Bench) -> None:
    tasks = {arm: training(arm, on).task for arm in JOINT}
    batches = {arm: task.batch(16, 8) for arm, task in tasks.items()}
    seen, drawn = batches["shared"]
    for arm in ("see", "separate", "paced", "shuffled"):
        assert torch.equal(batches[arm][0]["index"], seen["index"])
    for arm in ("draw", "separate", "shuffled"):
        own = batches[arm][-1]
        assert all(torch.equal(own[name], drawn[name]) for name in COLUMNS)
        pictures, others = (batch["values of drawn"].unflatten(0, (32, -1)) for batch in (drawn, own))
        assert torch.equal(others, pictures.roll(1, 0) if arm == "shuffled" else pictures)
    first = [dict(task.model.generator.named_parameters())["backbone.mask"] for task in tasks.values()]
    assert all(torch.equal(one, first[0]) for one in first)


def test_captions_tell_what_is_shown() -> None:
    shown = [single("test", index) for index in range(40)]
    assert {len(scene.things) for scene in shown} == {1}
    assert {scene.things[0].size for scene in shown} == {"large"}
    assert len({(thing.colour, thing.shape, thing.position) for scene in shown for thing in scene.things}) > 30
    assert single("test", 3).things == single("test", 3).things != single("check", 3).things


def made_up(sees: dict[str, float], draws: dict[str, float], seeds: int = 5) -> Results:
    """Results in which arms answer and draw so, give or take a tenth of a point."""
    results: dict[str, dict[str, Any]] = {}
    for joint in joints(seeds, results):
        noise = random.Random(joint.name).uniform(-0.001, 0.001) - (0.0 if joint.rate == JOINT_RATES[1] else 0.1)
        found: dict[str, Any] = {"trial": {"arm": joint.arm}, "seconds": {"cpu": 1.0}, "parameters": 1, "operations": 1}
        if joint.arm in sees:
            right = sees[joint.arm] + noise
            found |= {"check": right, "test": {"all": right, **dict.fromkeys(KINDS, right)}}
        if joint.arm in draws:
            right = dict.fromkeys(("all", *PARTS), draws[joint.arm] + noise)
            found["drawn"] = {"check": right, "test": right, "frechet": 0.1}
        results[joint.name] = found
    return results


SEES = {"see": 0.8, "paced": 0.8, "shared": 0.8, "separate": 0.8, "shuffled": 0.8}
DRAWS = {"draw": 0.6, "shared": 0.6, "separate": 0.6, "shuffled": 0.15}


@pytest.mark.parametrize(
    ("sees", "draws", "outcome"),
    [
        (SEES | {"shared": 0.83}, DRAWS, "holds"),
        (SEES, DRAWS | {"shared": 0.65}, "holds"),
        (SEES, DRAWS, "does not hold"),
        (SEES | {"shared": 0.83}, DRAWS | {"shared": 0.58}, "does not hold"),
        (SEES | {"shared": 0.83, "separate": 0.83}, DRAWS, "does not hold"),
        (SEES | {"shared": 0.83, "shuffled": 0.85}, DRAWS, "does not hold"),
    ],
)
def test_sharing_needs_a_gain_that_costs_nothing_and_is_due_to_it(
    sees: dict[str, float], draws: dict[str, float], outcome: str
) -> None:
    assert hypotheses.sharing(made_up(sees, draws)).outcome == outcome
    assert hypotheses.sharing(made_up(sees, draws, seeds=4)).outcome == "undecided"


def test_rates_are_chosen_by_both_and_lent_to_the_control() -> None:
    results = made_up(SEES, DRAWS)
    assert {joint_rate(arm, results) for arm in JOINT} == {JOINT_RATES[1]}
    assert sum("shuffled" in name for name in results) == 5
    assert list(joints(5, results)) == []
    assert joint_rate("see", {}) is None


def test_tables_and_plot_tell_of_it() -> None:
    results = made_up(SEES, DRAWS)
    made = joint_section(results)
    assert [row[1] == "-" for row in made.tables[0][1]] == [False, True, False, False, False, False]
    assert {row[-1] for _, rows in made.tables for row in rows} == {"5"}
    assert made.plots["h5-together"].startswith("<svg")
    assert len(cost_table(results)[1]) == len(JOINT)
    assert "drawing: **Does not hold.**" in halves(results)
    assert joint_section({}).plots == {"h5-together": ""}
