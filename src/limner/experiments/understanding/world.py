"""The small world in which ways of connecting pictures to a language model are compared: 64 pixels, 64 slots.

Per seed there are one encoder (SuperClass on white scenes of one or two things) that stays as it is, one language model
that has read captions and answered questions about them, and one album of pictures. Every arm starts from these, is
taught the same questions in the same order, and differs in its connector or in what else it is taught by. Trainings
and answers lie under the experiment's folder by name and seed and are shared between proofs.
"""

from __future__ import annotations

import copy
import functools
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from limner.connectors.connector import Connector
from limner.connectors.mlp import MlpConnector
from limner.data.stream import Stream
from limner.encoders.matcher import ImageTextModel
from limner.encoders.subwords import SubwordClassifier
from limner.encoders.vit import VisionTransformer
from limner.experiments.experiment import Experiment
from limner.experiments.smallworld import gap, summary
from limner.experiments.understanding.lessons import (
    Album,
    Reading,
    Seeing,
    Supervision,
    album,
    marks,
    said,
    scenes,
)
from limner.languages.subwords import Subwords
from limner.languages.transformer import LanguageTransformer
from limner.lessons.pairs import image_text_task
from limner.models.vision_language import VisionLanguageModel
from limner.recipes.encoders import superclass
from limner.train.loop import train
from limner.train.settings import Settings
from limner.train.task import Task
from limner.types import derive_seed

SIZE, PATCH = 64, 8
WIDTH, DEPTH = 128, 2  # of the language model; the encoder is as wide
SUBWORDS, LONGEST = 256, 40
ENCODER_IMAGES, READING_ROWS, SEEING_IMAGES = 16_000, 8_000, 2_400
ALIGNED = 3  # one picture of so many aligns, where there are two stages
SHOWN, HELD_OUT = 1_600, 300  # pictures that are taught and asked about
TURNS = 12  # questions about each
SPOKEN = 500  # scenes whose talk the vocabulary is made of
TAUGHT: dict[str, Any] = {"sample_every": 10**9, "checkpoint_every": 10**9, "beta2": 0.95}
ENCODER: dict[str, Any] = {**TAUGHT, "batch": 32, "lr": 1e-3, "muon": 3e-3, "warmup": 2_000, "ema": 2_000}
READING: dict[str, Any] = {**TAUGHT, "batch": 16, "lr": 1e-3, "muon": 3e-3, "warmup": 1_000, "ema": 1_000}
SEEING: dict[str, Any] = {**READING, "lr": 3e-3, "warmup": 500, "ema": 500}


@dataclass(frozen=True, eq=False)
class World:
    """What all arms of a seed share."""

    seed: int
    encoder: VisionTransformer
    classifier: nn.Linear
    language: LanguageTransformer
    vocabulary: Subwords
    taught: Album
    asked: Album


@dataclass(frozen=True)
class Arm:
    """A way of teaching a model to see, by name.

    Args:
        name: of its folders.
        connect: the connector, freshly initialised.
        supervise: what else it is taught by.
        shuffled: a control: it is shown other pictures than those it is asked about.
        aligned: the connector alone is taught captions first.
        frozen: the language model stays as it was; the connector alone is taught.
    """

    name: str
    connect: Callable[[World], Connector] = lambda world: MlpConnector(world.encoder.width, world.language.width)
    supervise: Callable[[World], Supervision] | None = None
    shuffled: bool = False
    aligned: bool = False
    frozen: bool = False


PLAIN = Arm("llava")


def folder_of(experiment: Experiment, name: str, seed: int, images: int) -> Path:
    """Where a training of this world lies."""
    return experiment.directory.parent / "understanding" / f"{name}-{seed}-{images}"


def finished(experiment: Experiment, task: Task[Any, Any], settings: Settings, name: str) -> Any:
    """The averaged model at the end of a training, resumed or read back."""
    folder = folder_of(experiment, name, settings.seed, settings.images)
    experiment.say(f"{name}, seed {settings.seed}")
    run = train(task, settings, folder, label=f"{name} seed {settings.seed}")
    if run.images < settings.images:
        raise KeyboardInterrupt  # saved; the same command goes on
    return run.average.model.eval()


@functools.lru_cache(maxsize=1)
def world(experiment: Experiment, seed: int) -> World:
    """The world of a seed, its encoder and language model trained or read back."""
    vocabulary = Subwords.trained(
        said(scenes(0, "train", SIZE, SPOKEN), SPOKEN), size=SUBWORDS, length=LONGEST, speaks=True
    )
    seen = superclass_of(experiment, vocabulary, seed)
    encoder, classifier = seen.encoder, seen.head.output
    assert isinstance(encoder, VisionTransformer)
    language = language_of(experiment, vocabulary, seed)
    taught = album(scenes(seed, "train", SIZE, SHOWN), encoder, TURNS)
    asked = album(scenes(seed, "heldout", SIZE, HELD_OUT), encoder, TURNS)
    return World(seed, encoder, classifier, language, vocabulary, taught, asked)


def superclass_of(experiment: Experiment, vocabulary: Subwords, seed: int) -> SubwordClassifier:
    """A SuperClass taught by captions of white scenes in the language model's own subwords."""
    knobs = superclass.Knobs(
        seed=seed,
        images=round(ENCODER_IMAGES * experiment.scale),
        size=SIZE,
        patch=PATCH,
        width=WIDTH,
        depth=3,
        vocabulary=len(vocabulary),
        text_length=LONGEST,
        **ENCODER,
    )
    torch.manual_seed(seed)
    model = superclass.build(knobs)
    model.subwords = vocabulary
    pairs = Stream([scenes(derive_seed(seed, "captions"), "train", SIZE, 1_000_000)], seed=seed)
    task = image_text_task(model, pairs, SIZE)
    trained = finished(experiment, task, knobs, "encoder")
    assert isinstance(trained, ImageTextModel)
    assert isinstance(trained.taught, SubwordClassifier)
    return trained.taught.requires_grad_(False)


def language_of(experiment: Experiment, vocabulary: Subwords, seed: int) -> LanguageTransformer:
    """A language model that has read captions and answered questions about them."""
    torch.manual_seed(derive_seed(seed, "language"))
    model = LanguageTransformer(len(vocabulary), width=WIDTH, depth=DEPTH, heads=WIDTH // 64)
    source = scenes(derive_seed(seed, "read"), "train", SIZE, 1_000_000)
    settings = Settings(seed=seed, images=round(READING_ROWS * experiment.scale), **READING)
    trained = finished(experiment, Reading(model, source, vocabulary, TURNS).task(), settings, "reading")
    assert isinstance(trained, LanguageTransformer)
    return trained


def taught(experiment: Experiment, arm: Arm, seed: int) -> VisionLanguageModel:
    """The model of an arm, trained or read back."""
    shared = world(experiment, seed)
    torch.manual_seed(derive_seed(seed, "connector"))
    connector = arm.connect(shared)
    assert isinstance(connector, nn.Module)
    language = copy.deepcopy(shared.language)
    model = VisionLanguageModel(shared.encoder, connector, language, shared.vocabulary)
    images = round(SEEING_IMAGES * experiment.scale)
    aligning = images // ALIGNED if arm.aligned else 0
    language.requires_grad_(not (arm.frozen or arm.aligned))
    if aligning:
        alone = Seeing(model, shared.taught, seed, describe=True).task()
        first = finished(experiment, alone, Settings(seed=seed, images=aligning, **SEEING), f"{arm.name}-first")
        connector.load_state_dict(first.connector.state_dict())
        language.requires_grad_(not arm.frozen)
    torch.manual_seed(derive_seed(seed, "supervision"))
    supervision = arm.supervise(shared) if arm.supervise is not None else None
    task = Seeing(model, shared.taught, seed, shuffled=arm.shuffled, supervision=supervision).task()
    trained = finished(experiment, task, Settings(seed=seed, images=images - aligning, **SEEING), arm.name)
    assert isinstance(trained, VisionLanguageModel)
    return trained


def answered(experiment: Experiment, arm: Arm, seed: int) -> dict[str, dict[str, float]]:
    """Accuracy about held-out scenes: ``seeing`` and ``blind`` and that of the commonest answer (``majority``), each by
    kind of question and ``overall``; kept beside the training."""
    images = round(SEEING_IMAGES * experiment.scale)
    file = folder_of(experiment, arm.name, seed, images) / "answers.json"
    if file.is_file():
        return json.loads(file.read_text(encoding="utf-8"))
    model, asked = taught(experiment, arm, seed), world(experiment, seed).asked
    found = {name: shares(marks(model, asked, blind=name == "blind")) for name in ("seeing", "blind")}
    found["majority"] = majority(asked)
    experiment.say(f"{arm.name}, seed {seed}: {found['seeing']['overall']:.4f}, blind {found['blind']['overall']:.4f}")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(found), encoding="utf-8")
    return found


def shares(found: Iterable[tuple[str, bool]]) -> dict[str, float]:
    """Share of right answers by kind, and overall."""
    kinds: dict[str, list[bool]] = defaultdict(list)
    for kind, right in found:
        kinds[kind].append(right)
        kinds["overall"].append(right)
    return {kind: sum(right) / len(right) for kind, right in sorted(kinds.items())}


def majority(asked: Album) -> dict[str, float]:
    """What the commonest answer of each kind would score."""
    said = [(turn.kind, turn.answer) for turns in asked.turns for turn in turns[:-1]]
    common: dict[str, str] = {}
    for (kind, answer), _ in Counter(said).most_common():
        common.setdefault(kind, answer)
    return shares((kind, answer == common[kind]) for kind, answer in said)


@dataclass(frozen=True)
class Answers:
    """Answers of several arms: by arm, seed by seed."""

    by_arm: dict[str, list[dict[str, dict[str, float]]]]

    def of(self, arm: Arm, how: str = "seeing", kind: str = "overall") -> list[float]:
        """Accuracy, seed by seed."""
        return [one[how][kind] for one in self.by_arm[arm.name]]

    def gap(self, better: Arm, worse: Arm, kind: str = "overall") -> dict[str, Any]:
        """Accuracy of one arm less that of another, paired by seed."""
        return gap(self.of(worse, kind=kind), self.of(better, kind=kind))

    def report(self) -> dict[str, Any]:
        """Accuracy of every arm by kind, and of the commonest answers."""
        ((first, *_), *_) = self.by_arm.values()
        arms = {
            name: {kind: summary([one["seeing"][kind] for one in found]) for kind in first["seeing"]}
            for name, found in self.by_arm.items()
        }
        every = [one["majority"] for one in next(iter(self.by_arm.values()))]
        common = {kind: round(sum(one[kind] for one in every) / len(every), 4) for kind in every[0]}
        return {"accuracy": arms, "majority": common}


def compared(experiment: Experiment, *arms: Arm) -> Answers:
    """Answers of some arms, seed by seed."""
    found: dict[str, list[dict[str, dict[str, float]]]] = {arm.name: [] for arm in arms}
    for seed in experiment.seeds:
        for arm in arms:
            found[arm.name].append(answered(experiment, arm, seed))
    return Answers(found)
