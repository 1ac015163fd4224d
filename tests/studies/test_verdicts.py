"""The verdicts, on results made up so that each hypothesis holds, fails, is refuted, or wants for seeds."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from studies.language_basis import hypotheses
from studies.language_basis.drawn import PARTS
from studies.language_basis.measures import SIGMAS
from studies.language_basis.page import write_page
from studies.language_basis.plan import (
    HYPOTHESES,
    MIDDLE,
    RATES,
    TUNERS,
    Results,
    joints,
    rate,
    trials,
)
from studies.language_basis.pretrained import TRAINING
from studies.language_basis.tables import area
from studies.language_basis.trial import Trial, partner
from studies.language_basis.world import KINDS

Score = Callable[[Trial], float]
CHANCE = 0.2


def result(trial: Trial, score: Score, kept: Callable[[Trial, str], float]) -> dict[str, Any]:
    """A trial's file, as if it had scored so, give or take a tenth of a point."""
    right = score(trial) + random.Random(trial.name).uniform(-0.001, 0.001)
    noise = {f"{sigma:g}": {"all": right, "turned": 0.1} for sigma in SIGMAS}

    def carried(how: str) -> float:
        return CHANCE + kept(trial, how) * (right - CHANCE)

    swap = {how: carried(how) for how in ("words", "permuted", "map")}
    return {
        "trial": {"arm": trial.arm, "ross": trial.ross},
        "seconds": {"cpu": 1.0, "wall": 1.0},
        "check": right - (0.0 if trial.rate == MIDDLE else 0.1),
        "curve": [1.0] * 20,
        "test": {"all": right, **dict.fromkeys(KINDS, right)},
        "others": CHANCE,
        "noise": noise,
        "rank": {"4": 0.5, "8": 0.6, "16": 0.7, "32": 0.8},
        "words": {"colour": 0.5, "shape": 0.5, "size": 0.5, "place": 0.5},
        "leak": 0.1,
        "swap-second": swap,
        "swap-wide": swap,
    }


def study(
    score: Score, *, seeds: int = 5, kept: Callable[[Trial, str], float] = lambda trial, how: 0.0, only: str = ""
) -> Results:
    """All results of a study in which everything scores so."""
    results: dict[str, dict[str, Any]] = {}
    for trial in trials([only] if only else HYPOTHESES, seeds, results):
        results[trial.name] = result(trial, score, kept)
    return results


def test_equal_arms_are_an_empty_constraint() -> None:
    verdict = hypotheses.empty_constraint(study(lambda trial: 0.8, only="H1"))
    assert verdict.outcome == "holds"
    assert [part.seeds for part in verdict.parts] == [5, 5, 5]


def test_words_that_beat_random_rows_refute_it() -> None:
    results = study(lambda trial: 0.85 if trial.arm == "free-words" else 0.8, only="H1")
    assert hypotheses.empty_constraint(results).outcome == "falsified"


def test_words_a_little_better_neither_hold_nor_refute() -> None:
    results = study(lambda trial: 0.815 if trial.arm == "free-words" else 0.8, only="H1")
    assert hypotheses.empty_constraint(results).outcome == "does not hold"


def test_curves_that_differ_do_not_hold() -> None:
    results = study(lambda trial: 0.8, only="H1")
    for content in results.values():
        if content["trial"]["arm"] == "free-words":
            content["curve"] = [1.2] * 20
    assert hypotheses.empty_constraint(results).outcome == "does not hold"


def test_four_seeds_decide_nothing() -> None:
    results = study(lambda trial: 0.8, seeds=4)
    assert {one.outcome for one in hypotheses.verdicts(results)} == {"undecided"}
    assert {one.outcome for one in hypotheses.verdicts({})} == {"undecided"}


@pytest.mark.parametrize(
    ("few", "whole", "outcome"), [(0.05, 0.0, "holds"), (0.01, 0.0, "does not hold"), (0.05, 0.03, "does not hold")]
)
def test_words_where_data_are_short(few: float, whole: float, outcome: str) -> None:
    def score(trial: Trial) -> float:
        better = (few if trial.scenes <= 400 else 0.0) + (whole if trial.scenes == TRAINING else 0.0)
        return 0.7 + (better if trial.arm == "soft-words" else 0.0)

    assert hypotheses.short_or_noisy(study(score, only="H2")).outcome == outcome


def test_the_stopping_rule_asks_for_words_that_beat_random_rows() -> None:
    level = study(lambda trial: 0.8 - (0.05 if trial.arm.endswith("-words") and trial.arm[:4] != "free" else 0.0))
    assert "stopping rule applies" in str(hypotheses.stopping_rule(level))
    better = study(lambda trial: 0.8 - (0.05 if trial.arm == "soft-matched" else 0.0))
    assert hypotheses.stopping_rule(better) is None
    assert len(hypotheses.beats_control(better)[0]) == 6
    refuted = study(lambda trial: 0.85 if trial.arm == "free-words" else 0.8)
    assert hypotheses.stopping_rule(refuted) is None


ORDER = {"svd": 0.0, "clusters": 0.01, "frequent": 0.05, "subset": 0.1, "random": 0.1}


def ranked(trial: Trial) -> float:
    """The better a family, the less it loses by a rank."""
    family, _, rank = trial.arm.rpartition("-")
    return 0.9 - (ORDER[family] + max(0.0, 0.1 * (1 - int(rank) / 16)) if family in ORDER else 0.0)


def test_the_knee_needs_fine_attributes_to_need_more() -> None:
    results = study(ranked, only="H3")
    parts = {part.text: part.met for part in hypotheses.knee(results).parts}
    assert list(parts.values()) == [True, True, True, True, True, False]
    for content in results.values():
        if content["trial"]["arm"].startswith("svd"):
            content["test"]["position"] -= 0.1
    assert hypotheses.knee(results).outcome == "holds"


def test_a_late_knee_does_not_hold() -> None:
    late = study(lambda trial: ranked(trial) - (0.02 if trial.arm == "svd-16" else 0.0), only="H3")
    assert hypotheses.knee(late).outcome == "does not hold"


def test_transfer_is_kept_against_controls() -> None:
    def kept(trial: Trial, how: str) -> float:
        if how == "permuted" or trial.arm == "soft-matched":
            return 0.0
        return 0.9 if trial.arm == "few-words" else 0.6

    results = study(lambda trial: 0.8, kept=kept, only="H4")
    assert hypotheses.transfer(results).outcome == "holds"
    share = hypotheses.kept_by(results, "few-words", "second")
    assert sorted(share) == [0, 1, 2, 3, 4]
    assert share[0] == pytest.approx(0.9, abs=0.02)
    careless = study(lambda trial: 0.8, kept=lambda trial, how: 0.9, only="H4")
    assert hypotheses.transfer(careless).outcome == "does not hold"


def test_seeds_lend_each_other_their_language_models() -> None:
    assert [partner(seed) for seed in range(10)] == [1, 2, 3, 4, 0, 6, 7, 8, 9, 5]


@pytest.mark.parametrize(("words", "mlp", "outcome"), [(0.05, 0.02, "holds"), (0.03, 0.02, "does not hold")])
def test_reconstruction_is_a_difference_in_differences(words: float, mlp: float, outcome: str) -> None:
    gain = {"soft-words": words, "mlp": mlp}

    def score(trial: Trial) -> float:
        return 0.7 + (gain.get(trial.arm, 0.0) if trial.ross == "denoising" else 0.0)

    assert hypotheses.reconstruction(study(score, only="H5")).outcome == outcome


def test_rates_are_chosen_before_they_are_used() -> None:
    results: dict[str, dict[str, Any]] = {}
    for trial in trials(["H1", "H3"], 2, results):
        chosen = rate(trial.arm, results)
        assert trial.seed in TUNERS or trial.rate == chosen == MIDDLE
        assert trial.rate in RATES
        assert trial.name not in results
        results[trial.name] = result(trial, lambda trial: 0.8, lambda trial, how: 0.0)
    assert list(trials(["H1", "H3"], 2, results)) == []


def test_area_is_a_mean_over_the_grid() -> None:
    assert area([{0: 0.0}, {0: 0.5}, {0: 1.0}]) == {0: 0.5}


@pytest.mark.slow
def test_the_page_says_what_holds_and_what_is_missing(tmp_path) -> None:
    results = dict(study(lambda trial: 0.8))
    for joint in joints(5, results):
        shares = dict.fromkeys(("all", *PARTS), 0.5)
        drawn = {"check": shares, "test": shares, "frechet": 0.1}
        test, cost = {"all": 0.8}, {"parameters": 1, "operations": 1, "seconds": {"cpu": 1.0}}
        results[joint.name] = {"trial": {"arm": joint.arm}, "check": 0.8, "test": test, "drawn": drawn, **cost}
    files = write_page(results, tmp_path / "page.md")
    text = files[0].read_text()
    assert "| [H1](#h1-an-empty-constraint) |" in text
    assert "not measured" not in text
    assert all(f"(page/{file.name})" in text and file.read_text().startswith("<svg") for file in files[1:])
    assert "measurements are missing" in write_page({}, tmp_path / "none.md")[0].read_text()
