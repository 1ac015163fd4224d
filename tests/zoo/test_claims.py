"""The experiments behind the claims, made tiny: their findings are whole, fit JSON, and are resumed, not repeated."""

from __future__ import annotations

import importlib
import json
import math
from pathlib import Path
from typing import Any

import pytest

CLAIMED = {"tokenizers/ae": 2, "tokenizers/vae": 1, "tokenizers/vq_vae": 2, "generators/mar": 2}
CLAIMED |= {"generators/llamagen": 1, "generators/maskgit": 2, "generators/rar": 1, "generators/var": 1}
CLAIMED |= {"generators/acdit": 2, "generators/flowar": 1, "generators/nar": 1, "generators/xar": 1}
CLAIMED |= {"tokenizers/titok": 1}
TINY_TOKENIZER = {"size": 16, "widths": (8, 8, 8)}
TINY_GENERATOR = {"width": 64, "encoder_depth": 1, "decoder_depth": 1, "text_length": 48, "batch": 16}


@pytest.fixture
def tiny_world(shipped, monkeypatch):
    """The small world, smaller still."""
    from limner.experiments import smallworld
    from limner.experiments.generators import drawing
    from limner.experiments.tokenizers import vq_vae
    from limner.lessons import captions as captioned

    shipped("encoders/features", "encoders/recogniser")
    monkeypatch.setattr(smallworld, "SIZE", 16)
    monkeypatch.setattr(smallworld, "ENTRIES", 16)
    monkeypatch.setattr(smallworld, "SCENES", 24)
    monkeypatch.setattr(smallworld, "DRAWN", 6)
    monkeypatch.setattr(vq_vae, "COUNTED", 40)
    monkeypatch.setattr(smallworld, "TOKENIZER", {**smallworld.TOKENIZER, **TINY_TOKENIZER})
    monkeypatch.setattr(smallworld, "GENERATOR", {**smallworld.GENERATOR, **TINY_GENERATOR})
    monkeypatch.setattr(drawing, "SCENES", 24)
    monkeypatch.setattr(drawing, "DRAWN", 6)
    monkeypatch.setattr(drawing, "TOKENIZER", {**drawing.TOKENIZER, "widths": (8, 8)})
    monkeypatch.setattr(drawing, "GENERATOR", {**drawing.GENERATOR, "width": 64, "text_length": 48})
    assert captioned.PREVIEW
    return smallworld


@pytest.fixture(scope="module")
def proofs(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("proofs")


def numbers(value: Any) -> list[float]:
    if isinstance(value, dict):
        return [number for item in value.values() for number in numbers(item)]
    if isinstance(value, list):
        return [number for item in value for number in numbers(item)]
    return [value]


def summaries(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, dict):
        return []
    own = [value] if "interval" in value else []
    return own + [found for item in value.values() for found in summaries(item)]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("path", CLAIMED)
def test_claims_are_measured_and_resumed(tiny_world, proofs, path):
    from limner.experiments.experiment import Experiment
    from limner.store.folder import find_recipe

    said: list[str] = []
    experiment = Experiment(seeds=(0, 1), scale=0.004, directory=proofs / path.split("/")[1], say=said.append)
    claims = find_recipe(path).claims
    assert len(claims) == CLAIMED[path]
    proving = importlib.import_module("limner.experiments." + path.replace("/", "."))
    findings = proving.findings(experiment)
    assert len(findings) == len(claims)
    assert said
    for finding in findings:
        assert isinstance(finding.holds, bool)
        assert json.loads(json.dumps(finding.measured)) == finding.measured
        assert all(math.isfinite(number) for number in numbers(finding.measured))
        found = summaries(finding.measured)
        assert len(found) >= 2
        for summary in found:
            low, high = summary["interval"]
            assert low <= summary["mean"] <= high
            assert len(summary.get("values", (0, 0))) == 2
    written = {file: file.stat().st_mtime_ns for file in proofs.glob("*/*/images-*/*")}
    assert written
    again = proving.findings(experiment)
    assert {file: file.stat().st_mtime_ns for file in proofs.glob("*/*/images-*/*")} == written
    assert [finding.measured for finding in again] == [finding.measured for finding in findings]


def test_generators_that_are_compared_are_equally_large(tmp_path):
    from limner.experiments.generators import baselines, drawing, var
    from limner.store.folder import find_recipe, save

    counts = {}
    for arm in (baselines.RASTER, baselines.MASKED, var.SCALES):
        path, own = drawing.TOKENIZERS[arm.tokenizer]
        knobs = find_recipe(path).knobs(**drawing.TOKENIZER, **own)
        folder = save(find_recipe(path).build(knobs), tmp_path / arm.tokenizer, recipe=path, knobs=knobs, facts={})
        shared = {**drawing.GENERATOR, **arm.knobs, "tokenizer": str(folder)}
        model = arm.recipe.build(arm.recipe.knobs(**shared))
        counts[arm.name] = sum(parameter.numel() for parameter in model.parameters())
    assert {name for name, count in counts.items() if abs(count / counts["llamagen"] - 1) > 0.05} == set()
