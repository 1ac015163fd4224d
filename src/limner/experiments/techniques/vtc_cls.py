"""VTC-CLS on limner-64: what do questions lose when a quarter of the 64 patches is read, chosen by attention?

    all          64 patches                                    the arm must answer 60 points more than blind
    attention    16, attention summed over layers 0 to L - 2
    one layer    16, attention of layer L - 2 alone
    random       16, drawn for each image

limner-64's encoder has no class token, so attention received from all patches stands in for it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch

from limner.connectors.connector import Query
from limner.data.conversations import SceneConversations
from limner.data.scenes import Scenes
from limner.evaluate.answering import answering_scores, questions_of
from limner.evaluate.statistics import gain_over_seeds, over_seeds
from limner.experiments.claims import Comparison, Measured
from limner.experiments.experiment import Experiment
from limner.experiments.world import BARS, reached
from limner.lessons.conversations import answers_of
from limner.models.vision_language import VisionLanguageModel
from limner.recipes.techniques import vtc_cls
from limner.store.folder import load
from limner.types import Patches, Rng, derive_seed

MODEL = "limner-64"
KEEP = 16
SCENES, TURNS = 100, 4
MARGIN = 0.02


class AtRandom:
    """The control: patches drawn for each image, the same number, in raster order."""

    def __init__(self, count: int, seed: int) -> None:
        self.count, self.seed, self.passes = count, seed, 0

    def __call__(self, patches: Patches, query: Query | None) -> Patches:
        self.passes += 1
        rng = Rng(derive_seed(self.seed, "patches", self.passes))
        chosen = rng.permutations(*patches.positions.shape[:2])[:, : self.count]
        return patches.select(chosen.sort(1).values.to(patches.vectors.device))


def pruned(keep: int, start: int) -> Callable[[VisionLanguageModel, int], VisionLanguageModel]:
    """An arm: the technique."""
    return lambda model, seed: vtc_cls.apply(model, vtc_cls.Knobs(keep, start))


ARMS: dict[str, Callable[[VisionLanguageModel, int], VisionLanguageModel]] = {
    "all": lambda model, seed: model,
    "attention": pruned(KEEP, 0),
    "one layer": pruned(KEEP, -2),
    "random": lambda model, seed: model.reducing(AtRandom(KEEP, seed)),
}


@torch.no_grad()
def answered(experiment: Experiment, seed: int) -> dict[str, float]:
    """The share of right answers of every arm, and of the whole model ``blind``, about held-out scenes of a seed."""
    model = load(MODEL).vision_language
    scenes = Scenes(derive_seed(seed, "vtc-cls"), split="heldout", size=model.size, objects=(1, 4))
    source = SceneConversations(scenes, turns=TURNS, describe=False)
    images, turns = questions_of([source[index] for index in range(max(round(SCENES * experiment.scale), 2))])
    found: dict[str, float] = {}
    for name, arm in ARMS.items():
        scores = answering_scores(answers_of(arm(model, seed)), images, turns)
        found[name] = scores["qa/overall"]
        found.setdefault("blind", scores["blind/overall"])
    experiment.say(f"seed {seed}: " + ", ".join(f"{name} {share:.3f}" for name, share in found.items()))
    return found


@functools.lru_cache(maxsize=1)
def shares(experiment: Experiment) -> dict[str, list[float]]:
    """The share of right answers of every arm, and of the whole model ``blind``, seed by seed."""
    by_seed = [answered(experiment, seed) for seed in experiment.seeds]
    return {name: [found[name] for found in by_seed] for name in by_seed[0]}


def competence(experiment: Experiment) -> dict[str, Any]:
    """Does the whole model answer more than it answers blind?"""
    of = shares(experiment)
    gains = [seeing - blind for seeing, blind in zip(of["all"], of["blind"], strict=True)]
    return {MODEL: {"gain": reached(gains, BARS["understanding"]["gain"])}}


def beats_random(experiment: Experiment) -> Measured:
    """Right answers: patches by attention > as many at random."""
    of = shares(experiment)
    gain = gain_over_seeds(of["attention"], of["random"])
    right = {name: over_seeds(values) for name, values in of.items()}
    return gain["interval"][0] > 0, {"right": right, "attention - random": gain}


def sums_as_well(experiment: Experiment) -> Measured:
    """Right answers: attention over layers no worse than one layer's by `MARGIN`."""
    of = shares(experiment)
    gain = gain_over_seeds(of["attention"], of["one layer"])
    return gain["interval"][0] >= -MARGIN, {"attention - one layer": gain}


CLAIMS = (
    Comparison(
        (),
        "answers: attention > random",
        "a gap in answers whose interval holds 0 or favours random",
        beats_random,
        "random",
        competence,
        ("attention", "random"),
    ),
    Comparison(
        (),
        f"answers: attention no worse than one layer by {MARGIN:g}",
        f"a gap in answers whose interval reaches beyond {MARGIN:g} in favour of one layer",
        sums_as_well,
        "one layer",
        competence,
        ("attention", "one layer"),
    ),
)
