"""Audits: no model to train, but claims like any; their experiment, made tiny."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def tiny(shipped, monkeypatch):
    from limner.experiments.audits import mmstar

    shipped("encoders/recogniser")
    for name, value in {
        "SCENES": 8,
        "SPOKEN": 40,
        "FACT_SHEETS": 1,
        "NATURALS": 12,
        "PLANTS": 4,
        "SHUFFLES": 4,
        "WIDTH": 16,
    }.items():
        monkeypatch.setattr(mmstar, name, value)
    return mmstar


def test_the_experiment_of_mmstar_is_whole_and_goes_on(tiny, tmp_path: Path):
    from limner.experiments.experiment import Experiment
    from limner.recipes.audits.mmstar import RECIPE

    experiment = Experiment(seeds=(0,), scale=0.002, directory=tmp_path, say=lambda line: None)
    findings = [claim.finding(experiment) for claim in tiny.CLAIMS]
    assert len(findings) == len(RECIPE.claims)
    flags, gain = (json.loads(json.dumps(finding.measured)) for finding in findings)
    assert set(flags) == {"text", "question", "leaked"}
    assert set(gain["gain"]) == {"own pictures", "shuffled pictures"}
    for finding in findings:
        assert finding.verdict in ("held", "not held")
    assert all(math.isfinite(gain["gain"][arm]["mean"]) for arm in gain["gain"])
    written = {file: file.stat().st_mtime_ns for file in tmp_path.glob("*/*/images-*/*")}
    assert written
    tiny.audits.cache_clear()
    again = [claim.finding(experiment) for claim in tiny.CLAIMS]
    assert {file: file.stat().st_mtime_ns for file in tmp_path.glob("*/*/images-*/*")} == written
    assert [finding.measured for finding in again] == [finding.measured for finding in findings]


def test_a_reader_chooses_among_the_options_it_is_shown():
    from limner.data.question_sets import Item
    from limner.experiments.audits.reader import PARTS, Reader

    torch.manual_seed(0)
    model = Reader(["what is it", "a red heart", "a star", "none of them"], width=16).eval()
    items = [
        Item("", "what is it", ("a star",), ("a red heart", "a star")),
        Item("", "what is it", ("a star",), ("a red heart", "a star", "none of them", "it")),
    ]
    things = torch.rand(2, 4, PARTS)
    things[0, 2:] = 0
    words, things, options, right = model.encode(items, things)
    with torch.no_grad():
        logits = model(words, things, options)
        unseen = model(words, torch.zeros_like(things), options)
        padded = model(words, torch.cat([things, torch.zeros(2, 3, PARTS)], 1), options)
    assert right.tolist() == [1, 1]
    assert logits[0, 2:].tolist() == [-math.inf] * 2
    assert torch.isfinite(logits[1]).all()
    assert torch.allclose(logits, padded, atol=1e-5)  # what is not there is not seen
    assert not torch.allclose(logits[1], unseen[1], atol=1e-5)


def test_an_answerer_draws_as_often_as_it_is_sure():
    from limner.encoders.recogniser import Recogniser
    from limner.experiments.audits.reader import Answerer, Reader

    torch.manual_seed(0)
    model = Reader(["what is it", "heart star ring"], width=16).eval()
    answer, again = (Answerer(model, Recogniser(num_names=2, widths=(8, 8), name_dim=8)) for _ in range(2))
    (options, chances) = answer.opinion(None, "what is it", ("heart", "ring", "star"))
    response = [answer(None, "what is it\nA. star\nB. heart\nC. ring") for _ in range(300)]
    assert response[:5] == [again(None, "what is it\nA. star\nB. heart\nC. ring") for _ in range(5)]
    for option, chance in zip(options, chances, strict=True):
        assert sum(option in text for text in response) / 300 == pytest.approx(chance, abs=0.09)


def test_an_interrupted_training_proves_nothing(tiny, tmp_path):
    import os
    import signal

    from limner.experiments.experiment import Experiment

    def interrupt(line: str) -> None:
        signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
        signal.setitimer(signal.ITIMER_REAL, 0.3)

    endless = Experiment(seeds=(0,), scale=10.0, directory=tmp_path, say=interrupt)
    with pytest.raises(KeyboardInterrupt):
        tiny.CLAIMS[0].finding(endless)
    assert list(tmp_path.glob("audits/base-0-*/images-*"))


def test_a_measure_is_listed_and_proven_but_not_trained(command_line):
    rows = json.loads(command_line("systems", "--family", "evaluation", "--json").out)
    row = next(row for row in rows if row["id"] == "mmstar")
    assert (row["state"], row["recipe"], len(row["claims"])) == ("works", "audits/mmstar", 2)
    assert "audits/mmstar" not in command_line("train", "--help").out
    refused = command_line("train", "mmstar")
    assert refused.code == 2
    assert "audits/mmstar measures models and trains none: run `limner prove audits/mmstar`" in refused.err
