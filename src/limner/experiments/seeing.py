"""Changes of a shipped model that sees, side by side: how many questions about held-out scenes each answers right.

    ARMS = Changes("vtc-cls", {"all": unchanged, "attention": ..., "random": ...})
    CLAIMS = (ARMS.better("attention", "random"), ARMS.no_worse("attention", "one layer", 0.02))

The shipped model must answer `BAR` more of ordinary questions than it answers blind. Every arm answers the same
questions of each seed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import torch

from limner.data.conversations import SceneConversations, Turn
from limner.data.scenes import Scenes
from limner.evaluate.answering import Picture, questions_of
from limner.evaluate.extraction import same
from limner.evaluate.statistics import gain_over_seeds, over_seeds
from limner.experiments.claims import Comparison, Measured
from limner.experiments.experiment import Experiment
from limner.experiments.world import BARS, reached
from limner.lessons.conversations import answers_of
from limner.models.vision_language import VisionLanguageModel
from limner.store.folder import load
from limner.types import derive_seed

MODEL = "limner-64"
BAR = BARS["understanding"]["gain"]
SCENES, JUDGED, TURNS = 100, 40, 4
NOISE = 80.0  # standard deviation, of 255
Change: TypeAlias = Callable[[VisionLanguageModel, int], VisionLanguageModel]  # the changed model, of a seed
Questions: TypeAlias = tuple[list[Picture], list[Turn]]


def unchanged(model: VisionLanguageModel, seed: int) -> VisionLanguageModel:
    """The arm that all others are changes of."""
    return model


def about_scenes(name: str, size: int, seed: int, count: int) -> Questions:
    """Questions about ``count`` held-out scenes, of a seed of their own."""
    source = SceneConversations(scenes_of(name, size, seed), turns=TURNS, describe=False)
    return questions_of([source[index] for index in range(count)])


def about_presence(name: str, size: int, seed: int, count: int) -> Questions:
    """Whether a thing is there, as often as not, in pictures under so much noise (`NOISE`) that a model must guess now
    and then (POPE, arXiv:2305.10355, whose wrong things share a colour or a shape with one that is there)."""
    images: list[Picture] = []
    turns: list[Turn] = []
    scenes, draws = scenes_of(name, size, seed), np.random.default_rng(derive_seed(seed, name, "noise"))
    for index in range(count):
        scene = scenes[index]
        noisy = scene.image + NOISE * draws.standard_normal(scene.image.shape)
        wanted = [Turn(one.text, one.answer, one.kind) for one in scene.questions() if one.kind == "exists"][:TURNS]
        images += [noisy.clip(0, 255).astype(np.uint8)] * len(wanted)
        turns += wanted
    return images, turns


def scenes_of(name: str, size: int, seed: int) -> Scenes:
    """Held-out scenes of an experiment."""
    return Scenes(derive_seed(seed, name), split="heldout", size=size, objects=(1, 4))


def right(model: VisionLanguageModel, questions: Questions, *, blind: bool = False) -> float:
    """The share of questions that a model answers right, with their pictures or ``blind``."""
    images, turns = questions
    answers = answers_of(model)(None if blind else images, [turn.question for turn in turns])
    return sum(same(answer, turn.answer, turn.question) for answer, turn in zip(answers, turns, strict=True)) / len(
        turns
    )


@dataclass(frozen=True)
class Changes:
    """Arms of one experiment.

    Args:
        name: of the experiment; its questions are of it.
        arms: by label; the first is the whole model.
        questions: (name, pixels, seed, scenes) to pictures and what is asked about them.
    """

    name: str
    arms: Mapping[str, Change]
    questions: Callable[[str, int, int, int], Questions] = about_scenes
    _found: dict[Experiment, dict[str, list[float]]] = field(default_factory=dict, compare=False)

    @torch.no_grad()
    def shares(self, experiment: Experiment) -> dict[str, list[float]]:
        """The share of right answers of every arm, seed by seed; measured once."""
        if experiment not in self._found:
            found: dict[str, list[float]] = {name: [] for name in self.arms}
            for seed in experiment.seeds:
                questions = self.questions(self.name, shipped().size, seed, max(round(SCENES * experiment.scale), 2))
                for name, arm in self.arms.items():
                    found[name].append(right(arm(shipped(), seed), questions))
                    experiment.say(f"seed {seed}, {name}: {found[name][-1]:.3f}")
            self._found[experiment] = found
        return self._found[experiment]

    def competence(self, experiment: Experiment) -> dict[str, Any]:
        """Does the whole model answer more than it answers blind?"""
        return {MODEL: {"gain": reached([gained(experiment, seed) for seed in experiment.seeds], BAR)}}

    def report(self, experiment: Experiment) -> dict[str, Any]:
        """The share of right answers of every arm, with intervals."""
        return {name: over_seeds(values) for name, values in self.shares(experiment).items()}

    def better(self, arm: str, control: str) -> Comparison:
        """``arm`` answers more right than ``control``."""
        return self._compared(
            arm,
            control,
            0.0,
            f"answers: {arm} > {control}",
            f"a gap in answers whose interval holds 0 or favours {control}",
        )

    def no_worse(self, arm: str, control: str, margin: float) -> Comparison:
        """``arm`` answers no fewer right than ``control``, but for a share ``margin``."""
        return self._compared(
            arm,
            control,
            -margin,
            f"answers: {arm} no worse than {control} by {margin:g}",
            f"a gap in answers whose interval reaches beyond {margin:g} in favour of {control}",
        )

    def _compared(self, arm: str, control: str, least: float, bound: str, refuted: str) -> Comparison:
        def measure(experiment: Experiment) -> Measured:
            of = self.shares(experiment)
            gain = gain_over_seeds(of[arm], of[control])
            low = gain["interval"][0]
            held = low > 0 if least == 0 else low >= least
            return held, {"right": self.report(experiment), f"{arm} - {control}": gain}

        return Comparison((), bound, refuted, measure, control, self.competence, (arm, control))


@functools.lru_cache(maxsize=8)
@torch.no_grad()
def gained(experiment: Experiment, seed: int) -> float:
    """What the shipped model answers right of ordinary questions, less what it answers blind."""
    questions = about_scenes("gain", shipped().size, seed, max(round(JUDGED * experiment.scale), 2))
    return right(shipped(), questions) - right(shipped(), questions, blind=True)


@functools.lru_cache(maxsize=1)
def shipped() -> VisionLanguageModel:
    """The shipped model that sees."""
    model: VisionLanguageModel = load(MODEL).vision_language
    return model
