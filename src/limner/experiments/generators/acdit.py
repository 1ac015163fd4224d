"""ACDiT: kept keys and values change nothing, and blocks of ever more latents up to the picture, which is no order."""

from __future__ import annotations

from dataclasses import replace

import torch

from limner.experiments.experiment import Experiment, Finding
from limner.experiments.generators.drawing import Arm, Pace, found, held_out, rebuilt, trained
from limner.experiments.generators.maskgit import no_worse
from limner.experiments.smallworld import summary
from limner.recipes.generators import acdit
from limner.types import Rng

SIDES = (2, 4, 8)  # of a block, in latents
ARMS = {side: Arm(f"acdit-{side}", acdit.RECIPE, "vae", {"depth": 3, "block": side}) for side in SIDES}
PACE = Pace(head_steps=10)
COMPARED = 16  # captions drawn with and without what is kept
ROUNDING = 1e-3  # of a latent of unit variance, after 40 passes in fp32


def findings(experiment: Experiment) -> tuple[Finding, ...]:
    """One per claim of the recipe."""
    return cache_is_exact(experiment), blocks_keep_up(experiment)


def cache_is_exact(experiment: Experiment) -> Finding:
    """Largest difference of any latent, drawn with and without kept keys and values: none but rounding. That of other
    noise says how large it could be."""
    found = [cache_differences(experiment, seed) for seed in experiment.seeds]
    kept, other = ([pair[part] for pair in found] for part in (0, 1))
    measured = {"kept - computed anew": summary(kept), "other noise": summary(other)}
    return Finding(max(kept) < ROUNDING, {"largest difference of a latent": measured})


def cache_differences(experiment: Experiment, seed: int) -> tuple[float, float]:
    """Those of one seed, 4x4 latents a block."""
    drawer = trained(experiment, ARMS[4], seed)
    captions = held_out()[1][:COMPARED]
    decoder = drawer.own_decoder()
    decoder = replace(decoder, options=replace(decoder.options, head_steps=PACE.head_steps))
    given, rows = drawer.subwords.encode(captions), range(len(captions))
    with torch.no_grad():
        plain = replace(decoder, cached=False)(given, Rng(list(rows)))
        kept, other = (decoder(given, Rng([row + first for row in rows])) for first in (0, len(captions)))
    return float((kept - plain).abs().max()), float((other - plain).abs().max())


def blocks_keep_up(experiment: Experiment) -> Finding:
    """Frechet distance: blocks of 4x4 latents are no worse than the whole picture at once. Blocks of 2x2 are measured
    and claimed nothing of."""
    by_side = {side: found(experiment, arm, PACE) for side, arm in ARMS.items()}
    measured = {f"{side}x{side} latents a block": one.report() for side, one in by_side.items()}
    gaps = {f"{side}x{side} - 8x8": by_side[side].less(by_side[8]) for side in SIDES[:-1]}
    measured["tokenizer"] = rebuilt(experiment, "vae")
    return Finding(no_worse(by_side[4], by_side[8]), {"drawings": measured, "gaps": gaps})
