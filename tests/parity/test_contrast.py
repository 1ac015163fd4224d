"""RITUAL, AGLA and LLaVA-Align against the authors' code: what is drawn from, what is seen, and calibration."""

from __future__ import annotations

import math

import pytest
import torch
from tests.parity.goldens import Golden, agree, goldens
from torch import Tensor

from limner.decode.contrast import apart, plausible, together
from limner.recipes.techniques.agla import masked
from limner.recipes.techniques.llava_align import calibrated


def shares(logits: Tensor, own: Tensor, config: dict[str, float]) -> Tensor:
    """Probabilities after the cut at ``beta`` and a temperature."""
    return (plausible(logits, own, config["beta"]) / config.get("temperature", 1.0)).softmax(-1)


@pytest.mark.parametrize("golden", goldens("ritual"))
def test_ritual_and_what_its_code_compares_it_with(golden: Golden) -> None:
    config, own = golden.config, golden["in.logits"]
    other, without = golden["in.logits_pos"], golden["in.logits_neg"]
    agree(shares(together(own, other, 1 + config["alpha_pos"]), own, config), golden["out.ritual.probs"], 1e-6)
    agree(shares(apart(own, without, 1 + config["alpha_neg"]), own, config), golden["out.vcd.probs"], 1e-6)
    forgotten = torch.stack(
        [apart(*both, math.exp(0.02 * step)) for step, both in enumerate(zip(own, without, strict=True))]
    )
    agree(shares(forgotten, own, config), golden["out.m3id.probs"], 1e-6)


@pytest.mark.parametrize("golden", goldens("agla"))
def test_agla_draws_by_both_and_keeps_what_is_relevant(golden: Golden) -> None:
    config, own = golden.config, golden["in.logits"]
    agree(shares(together(own, golden["in.logits_aug"], 1 + config["alpha"]), own, config), golden["out.probs"], 1e-6)
    image, match = golden["in.image"] * 2 - 1, golden["in.itc"]
    found = masked(image[None], golden["in.cam"][None], match[None])[0]
    agree((found + 1) / 2, golden["out.masked_image"], 1e-6)
    ones = masked(torch.ones_like(image)[None], golden["in.cam"][None], match[None])[0, 0]
    assert torch.equal(((ones + 1) / 2).long(), golden["out.mask"].long())


@pytest.mark.parametrize("golden", goldens("llava-align"))
def test_llava_align_calibrates_labels_and_debiases_words(golden: Golden) -> None:
    config, naive = golden.config, golden["in.prob.naive"]
    for name, wanted in golden.under("out.calibrated.").items():
        parts = ["noise", "none", "zero", "unk"] if name == "all" else name.split("_")
        found = calibrated(naive, [golden[f"in.prob.{part}"] for part in parts])
        agree(found, wanted, 1e-5)
        assert torch.equal(found.argmax(-1), golden[f"out.answer.{name}"])
    own, free = golden["in.logits"], golden["in.logits_free"]
    for alpha, beta in config["vdd"]:
        found = plausible(apart(own, free, 1 + alpha), own, beta).softmax(-1)
        agree(found, golden[f"out.vdd_a{alpha}_b{beta}.probs"], 1e-6)
