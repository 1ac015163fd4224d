"""The language basis in the small world: does it answer as an MLP does, and do its words name what a patch shows?

The language model stays as it was, so that words go on meaning what they meant, and connectors alone are taught.
"""

from __future__ import annotations

import json

import torch
from torch import nn

from limner.connectors.bases import AllWords, Basis
from limner.connectors.basis import LanguageBasis
from limner.connectors.coefficients import Softmax
from limner.connectors.connector import Reader
from limner.connectors.controls import Matched
from limner.connectors.lens import nearest_words
from limner.connectors.scores import DenseHead
from limner.connectors.ties import Stopped
from limner.data.scenes.world import WORLD as SIDE
from limner.experiments.experiment import Experiment, Finding
from limner.experiments.smallworld import gap, summary
from limner.experiments.understanding import world as small
from limner.experiments.understanding.world import Answers, Arm, World, compared, folder_of, taught
from limner.models.vision_language import VisionLanguageModel

MARGIN = 0.02  # as well: not worse by more than two points
TOP = 5  # words of a patch that are read
MEASURED = 32  # pictures by which the gain is started


def mixing(world: World, basis: Basis, *, started: bool = False) -> LanguageBasis:
    """A convex mixture of a basis; ``started``: scored at first as SuperClass scores words."""
    head = DenseHead(nn.Identity(), world.encoder.width, basis.size)
    if started:
        head.start_from(world.classifier.weight, world.classifier.bias, torch.arange(basis.size))
    connector = LanguageBasis(head, Softmax(), Stopped(basis))
    connector.settle(world.language.words, world.taught.patches(slice(MEASURED)).vectors)
    return connector


def all_words(world: World) -> AllWords:
    """Every word of the language model."""
    return AllWords(len(world.language.words))


def no_words(world: World) -> Matched:
    """As many random vectors of the words' mean and covariance."""
    return Matched(len(world.language.words), world.language.width, world.seed)


MLP = Arm("frozen-mlp", frozen=True)
WORDS = Arm("words", lambda world: mixing(world, all_words(world)), frozen=True)
STARTED = Arm("words-started", lambda world: mixing(world, all_words(world), started=True), frozen=True)
MATCHED = Arm("matched", lambda world: mixing(world, no_words(world)), frozen=True)
ARMS = (WORDS, STARTED, MATCHED, MLP)
Hits = dict[str, list[dict[str, float]]]  # by arm, seed by seed, by attribute


def findings(experiment: Experiment) -> tuple[Finding, ...]:
    """One per claim of the recipe."""
    answers = compared(experiment, *ARMS)
    hits: Hits = {arm.name: [] for arm in ARMS}
    for seed in experiment.seeds:
        for arm in ARMS:
            hits[arm.name].append(named(experiment, arm, seed))
    return answers_as_well(answers), words_name(hits, WORDS), words_name(hits, STARTED)


def answers_as_well(answers: Answers) -> Finding:
    """Accuracy: words - MLP beyond doubt above -2 points."""
    differences = {f"{WORDS.name} - {arm.name}": answers.gap(WORDS, arm) for arm in (MLP, MATCHED, STARTED)}
    holds = differences[f"{WORDS.name} - {MLP.name}"]["interval"][0] >= -MARGIN
    return Finding(holds, {**answers.report(), "differences": differences})


def words_name(hits: Hits, arm: Arm) -> Finding:
    """Mean hit rate of colour and shape: an arm beyond doubt above the matched basis and the logit lens of the MLP."""
    means = {name: [sum(one.values()) / len(one) for one in found] for name, found in hits.items()}
    gaps = {f"{arm.name} - {other.name}": gap(means[other.name], means[arm.name]) for other in (MATCHED, MLP)}
    measured = {
        name: {part: summary([one[part] for one in found]) for part in found[0]}
        for name, found in hits.items()
        if name in (arm.name, MATCHED.name, MLP.name)
    }
    holds = all(one["interval"][0] > 0 for one in gaps.values())
    return Finding(holds, {"hit rate": measured, "differences": gaps})


def named(experiment: Experiment, arm: Arm, seed: int) -> dict[str, float]:
    """How often the five words that weigh most in the patch at the centre of a thing hold its colour, and its shape;
    kept beside the training."""
    file = folder_of(experiment, arm.name, seed, round(small.SEEING_IMAGES * experiment.scale)) / "words.json"
    if not file.is_file():
        file.write_text(json.dumps(hit_rates(taught(experiment, arm, seed), small.world(experiment, seed))))
    return json.loads(file.read_text(encoding="utf-8"))


@torch.no_grad()
def hit_rates(model: VisionLanguageModel, world: World) -> dict[str, float]:
    """Of the held-out things, by attribute."""
    patches, words, connector = world.asked.patches(), model.language.words, model.connector
    rows, columns = patches.grid
    top = (
        connector.top_words(patches, words, TOP)[0]
        if isinstance(connector, Reader)
        else nearest_words(connector(patches, words), words, TOP)[0]
    )
    hits: dict[str, list[bool]] = {"colour": [], "shape": []}
    for row, scene in enumerate(world.asked.shown):
        for thing in scene.things:
            patch = int(thing.y / SIDE * rows) * columns + int(thing.x / SIDE * columns)
            read = top[row, patch].tolist()
            for attribute, found in hits.items():
                (word,) = world.vocabulary.ids(getattr(thing, attribute))
                found.append(word in read)
    return {attribute: sum(found) / len(found) for attribute, found in hits.items()}
