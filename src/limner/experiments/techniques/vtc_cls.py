"""VTC-CLS on limner-64: what do questions lose when a quarter of the 64 patches is read, chosen by attention?

    all          64 patches                                    the arm must answer 60 points more than blind
    attention    16, attention summed over layers 0 to L - 2
    one layer    16, attention of layer L - 2 alone
    random       16, drawn for each image

limner-64's encoder has no class token, so attention received from all patches stands in for it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from limner.connectors.connector import Query
from limner.data.conversations import SceneConversations
from limner.data.scenes import Scenes
from limner.evaluate.answering import answering_scores, asked_of
from limner.experiments.experiment import Experiment, Finding
from limner.experiments.smallworld import gap, summary
from limner.models.vision_language import VisionLanguageModel
from limner.recipes.techniques import vtc_cls
from limner.recipes.understanding.asked import answers_of
from limner.store.folder import load
from limner.types import Patches, Rng, derive_seed

MODEL = "limner-64"
KEEP = 16
SCENES, TURNS = 100, 4
MARGIN = 0.02
COMPETENT = 0.6  # right answers beyond those of the same model without the image


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
    images, turns = asked_of([source[index] for index in range(max(round(SCENES * experiment.scale), 2))])
    found: dict[str, float] = {}
    for name, arm in ARMS.items():
        scores = answering_scores(answers_of(arm(model, seed)), images, turns)
        found[name] = scores["qa/overall"]
        found.setdefault("blind", scores["blind/overall"])
    experiment.say(f"seed {seed}: " + ", ".join(f"{name} {share:.3f}" for name, share in found.items()))
    return found


def findings(experiment: Experiment) -> tuple[Finding, ...]:
    """One per claim of the technique."""
    by_seed = [answered(experiment, seed) for seed in experiment.seeds]
    of = {name: [found[name] for found in by_seed] for name in by_seed[0]}
    able = gap(of["blind"], of["all"])["mean"] >= COMPETENT
    shares = {name: summary(values) for name, values in of.items()}
    chosen, single = gap(of["random"], of["attention"]), gap(of["one layer"], of["attention"])
    report = {"right": shares, "competent": able}
    return (
        Finding(able and chosen["interval"][0] > 0, {**report, "attention - random": chosen}),
        Finding(able and single["interval"][0] >= -MARGIN, {**report, "attention - one layer": single}),
    )
