"""The one small world in which claims are measured: what every family learns from, and how its arms are trained.

    picture    32x32 pixels, white, one large thing          latents    8x8
    thing      6 colours x 6 shapes                          caption    "a red heart in the top left"
    place      4 corners, moved by up to a pixel             questions  its colour, shape and place

It lies on disk as a folder of captioned pictures with a file of questions, so every recipe learns it by its own
``--data``, as a user's pictures. Encoders alone keep the pictures of their recipe, at 32 pixels: what they claim is
about emoji. An `Arm` is a recipe with knobs; a knob whose value is an arm names the model that this arm becomes.
"""

from __future__ import annotations

import functools
import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Unpack

import torch
from PIL import Image as Pillow
from torch import nn

from limner.compare.sweep import name_of
from limner.compare.trials import train_on
from limner.data.conversations import DESCRIBE, Turn
from limner.data.scenes import PHRASINGS, Scene, paint
from limner.data.scenes.sampling import Split, pick, put
from limner.data.scenes.scene import random_for
from limner.decode.options import DrawOptions
from limner.evaluate.prompts import Prompt
from limner.experiments.experiment import Experiment
from limner.recipe import Recipe
from limner.store.folder import find_recipe, save
from limner.store.knobs import CARD

SIZE = 32
COLOURS = ("red", "yellow", "green", "blue", "purple", "black")
SHAPES = ("circle", "square", "triangle", "heart", "star", "cross")
CELLS = (0, 2, 6, 8)  # of the 3x3 grid
PICTURES, HELD_OUT = 4_000, 240
LEAST = 8  # pictures of a rehearsal
ATTRIBUTES = ("What colour", "What shape", "Where")  # a guess is right once in 6, 6 and 4 times
QUESTIONS, SHUFFLED, READING, CAPTIONS = "questions.json", "shuffled.json", "reading.json", "captioning.json"
NEVER = 10**9

SHARED: dict[str, Any] = {
    "sample_every": NEVER,
    "checkpoint_every": NEVER,
    "precision": "fp32",
}  # fp32: twice as fast here
FAMILIES: dict[str, dict[str, Any]] = {  # knobs of each family's arms, as far as a recipe has them
    "tokenizers": {
        "size": SIZE,
        "widths": (32, 64),
        "encoder_depths": (1, 1),
        "decoder_depths": (1, 1),
        "batch": 16,
        "warmup": 1_000,
        "ema": 1_000,
        "images": 8_000,
    },
    "generators": {
        "width": 128,
        "text_depth": 0,
        "text_length": 12,
        "vocabulary": 256,
        "batch": 32,
        "lr": 2e-3,
        "muon": 5e-3,
        "warmup": 500,
        "ema": 300,
        "head_steps": 10,
        "images": 20_000,
    },
    "encoders": {
        "size": SIZE,
        "patch": 4,
        "width": 128,
        "depth": 3,
        "vocabulary": 1024,
        "weight_decay": 0.05,
        "batch": 32,
        "lr": 7e-4,
        "muon": 2e-3,
        "warmup": 2_000,
        "ema": 2_000,
        "images": 24_000,
    },
    "understanding": {
        "size": SIZE,
        "patch": 4,
        "encoder_width": 128,
        "encoder_depth": 3,
        "width": 128,
        "depth": 2,
        "vocabulary": 384,
        "batch": 32,
        "warmup": 1_000,
        "ema": 1_000,
        "images": 12_000,
    },
}
BARS: dict[str, dict[str, float]] = {  # what an arm must reach for its comparison to say anything
    "tokenizers": {"psnr": 20.0},
    "generators": {"colour": 0.9, "shape": 0.7},
    "encoders": {"probe/colour": 0.9, "probe/shape": 0.6},  # of 12 shapes, of any size, anywhere: harder than 6
    "understanding": {"gain": 0.6},
}


def reached(values: Sequence[float], bar: float) -> dict[str, Any]:
    """A competence score by seed, its bar, and whether its mean reaches it."""
    mean = sum(values) / len(values)
    return {"bar": bar, "values": list(values), "mean": mean, "passed": mean >= bar}


def same(recipe: Recipe) -> Recipe:
    """The recipe itself."""
    return recipe


def nothing(prompts: Sequence[Prompt]) -> dict[str, Any]:
    """The caption is all that is received."""
    return {}


@dataclass(frozen=True)
class Arm:
    """A model that takes part in a comparison; arms of one name are one training.

    Args:
        name: of its folder, and in proofs.
        path: its recipe, such as "generators/mar".
        knobs: what is special about its knobs; all others are those of `FAMILIES` and the recipe.
        variant: the recipe with a part exchanged.
        options: how a finished generator draws.
        beside: what it receives beside captions, such as edges to draw into: arguments of its ``images``.
        judged: it has a bar to reach; a control that lacks by design what its task needs has none.
    """

    name: str
    path: str
    knobs: Mapping[str, Any] = field(default_factory=dict, compare=False)
    variant: Callable[[Recipe], Recipe] = field(default=same, compare=False)
    options: DrawOptions = field(default_factory=lambda: DrawOptions(), compare=False)
    beside: Callable[[Sequence[Prompt]], dict[str, Any]] = field(default=nothing, compare=False)
    judged: bool = field(default=True, compare=False)

    @property
    def family(self) -> str:
        """First part of the recipe's path."""
        return self.path.partition("/")[0]

    @property
    def bars(self) -> dict[str, float]:
        """The least that its scores must be."""
        return BARS[self.family] if self.judged else {}

    @property
    def label(self) -> str:
        """Its name and how it draws."""
        drawn = name_of(self.options)
        return self.name if drawn == "own" else f"{self.name}, {drawn}"

    def drawing(self, **options: Unpack[DrawOptions]) -> Arm:
        """The same trained model with other options of drawing."""
        return replace(self, options=options)


class SmallScenes:
    """A source of the world's scenes; scene k of a seed and split is the same forever."""

    name = "small"

    def __init__(self, seed: int, split: Split, length: int) -> None:
        self.seed, self.split, self.length = seed, split, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Scene:
        if not 0 <= index < self.length:
            raise IndexError(f"scene {index} is outside 0 to {self.length - 1}")
        rng = random_for("small world", self.seed, self.split, index)
        thing = put(rng, (pick(rng, COLOURS), pick(rng, SHAPES), -1), "large", pick(rng, CELLS))
        return paint((thing,), SIZE, phrasing=PHRASINGS.index("position"), key=rng.getrandbits(32))


def scaled(experiment: Experiment, count: int) -> int:
    """So many pictures, or fewer in a rehearsal."""
    return max(LEAST, round(count * min(experiment.scale, 1.0)))


@functools.cache
def held_out(count: int) -> tuple[Scene, ...]:
    """Scenes that nothing learns from."""
    source = SmallScenes(0, "heldout", count)
    return tuple(source[index] for index in range(count))


def prompts(experiment: Experiment) -> list[Prompt]:
    """Held-out captions with their true pictures."""
    scenes = held_out(scaled(experiment, HELD_OUT))
    return [Prompt(scene.caption, scene.image, scene.things, placed=True) for scene in scenes]


def questions(scene: Scene) -> list[Turn]:
    """The colour, the shape and the place of the thing, each asked about once."""
    return [Turn(one.text, one.answer, one.kind) for one in scene.questions() if one.text.startswith(ATTRIBUTES)]


def pictures(experiment: Experiment) -> Path:
    """The folder of the world, written when it is first needed: captioned pictures, and beside them conversations of
    one question each, since an earlier answer would give a later one away.

    QUESTIONS are about the picture, SHUFFLED the same about the next one, READING about its caption and no picture,
    CAPTIONS ask for the caption.
    """
    count = scaled(experiment, PICTURES)
    folder = experiment.directory / f"scenes-{count}"
    if folder.is_dir():
        return folder
    aside = folder.with_suffix(".writing")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    source = SmallScenes(1, "train", count)
    captions: list[str] = []
    rows: dict[str, list[dict[str, Any]]] = {QUESTIONS: [], SHUFFLED: [], READING: [], CAPTIONS: []}
    for index in range(count):
        scene, name, following = source[index], f"{index:06d}.png", f"{(index + 1) % count:06d}.png"
        Pillow.fromarray(scene.image).save(aside / name)
        captions.append(json.dumps({"file_name": name, "text": scene.caption}))
        rows[CAPTIONS].append(_row(name, DESCRIBE, scene.caption))
        for turn in questions(scene):
            rows[QUESTIONS].append(_row(name, turn.question, turn.answer))
            rows[SHUFFLED].append(_row(following, turn.question, turn.answer))
            rows[READING].append(_row(None, f"{scene.caption}. {turn.question}", turn.answer))
    (aside / "metadata.jsonl").write_text("\n".join(captions), encoding="utf-8")
    for file, content in rows.items():
        (aside / file).write_text(json.dumps(content), encoding="utf-8")
    aside.rename(folder)
    return folder


def _row(picture: str | None, question: str, answer: str) -> dict[str, Any]:
    """A conversation of one question in LLaVA's format."""
    messages = [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]
    return {"conversations": messages} if picture is None else {"image": picture, "conversations": messages}


def chosen(experiment: Experiment, arm: Arm) -> dict[str, Any]:
    """The knobs that the world and the arm decide, seed and folder apart; models that it needs are trained first, under
    the experiment's first seed."""
    knobs = find_recipe(arm.path).knobs
    family = {name: value for name, value in FAMILIES[arm.family].items() if name in knobs.__dataclass_fields__}
    values = {**SHARED, **family, **arm.knobs}
    values |= {name: str(saved(experiment, value)) for name, value in values.items() if isinstance(value, Arm)}
    if arm.family == "understanding":
        values["data"] = str(pictures(experiment) / values.get("data", QUESTIONS))
    elif arm.family != "encoders":
        values["data"] = pictures(experiment)
    return {**values, "images": max(1, round(values["images"] * experiment.scale))}


def knobs_of(experiment: Experiment, arm: Arm, seed: int) -> Any:
    """All knobs of an arm."""
    knobs = find_recipe(arm.path).knobs
    return knobs(**{**chosen(experiment, arm), "seed": seed, "out": experiment.directory})


def folder_of(experiment: Experiment, arm: Arm, seed: int) -> Path:
    """Where the training of an arm lies: arms of one name whose chosen knobs differ, or those of a model that they
    need, are trained apart."""
    text = json.dumps(chosen(experiment, arm), sort_keys=True, default=str).replace(str(experiment.directory), "")
    digest = hashlib.blake2b(text.encode(), digest_size=4).hexdigest()
    return experiment.directory / arm.family / f"{arm.name}-{seed}-{digest}"


@functools.lru_cache(maxsize=4)
def trained(experiment: Experiment, arm: Arm, seed: int) -> nn.Module:
    """The model of an arm, trained or read back."""
    knobs = knobs_of(experiment, arm, seed)
    experiment.say(f"{arm.name}, seed {seed}")
    torch.manual_seed(seed)
    task, folder = arm.variant(find_recipe(arm.path)).task(knobs), folder_of(experiment, arm, seed)
    run = train_on(task, knobs, folder, f"{arm.name} seed {seed}")
    if run.images < knobs.images:
        raise KeyboardInterrupt  # saved; the same command goes on
    return run.average.model.eval()


def saved(experiment: Experiment, arm: Arm) -> Path:
    """Folder of an arm's model under the experiment's first seed, for other arms to build on."""
    seed = experiment.seeds[0]
    knobs = knobs_of(experiment, arm, seed)
    folder = folder_of(experiment, arm, seed) / "model"
    if not (folder / CARD).is_file():
        save(trained(experiment, arm, seed), folder, recipe=arm.path, knobs=knobs, facts={"images": knobs.images})
    return folder
