"""The small world of generators: pictures of 32 pixels, scenes of one thing on white, drawn from their captions.

A caption tells size, colour, shape and place ("a small red heart in the top left"), so what a drawing should show is
known. An `Arm` is a recipe, a tokenizer and what is special about its knobs; all arms of a seed see the same pictures
in the same order, and tokenizers, one for all seeds, differ in their quantizer alone: 8x8 latents, the same widths.
Trainings and scores lie under the experiment's folder by name, seed and images, and are shared between claims.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from limner.data.scenes import PHRASINGS, Scenes
from limner.data.scenes.sampling import Split
from limner.evaluate.prompts import Prompt, judge_prompts
from limner.experiments.experiment import Experiment
from limner.experiments.smallworld import distance, gap, summary
from limner.generators.orders import Order
from limner.languages.subwords import Subwords
from limner.lessons.captions import TokenizedPictures, text_to_image_task
from limner.models.text_to_image import TextToImage
from limner.nn.pixels import to_tensor
from limner.recipe import Recipe
from limner.store.folder import find_recipe, load, save
from limner.store.knobs import CARD
from limner.tokenizers.tokenizer import QuantizingTokenizer
from limner.train.loop import Run, train
from limner.train.settings import Settings
from limner.train.task import Task
from limner.types import Image, derive_seed

SIZE = 32
TOKENIZER_IMAGES = 20_000
GENERATOR_IMAGES = 6_000
SCENES = 6_000  # that generators learn from
DRAWN = 240  # held-out captions that are drawn and judged
BATCH = 60  # of them at a time

TOKENIZER: dict[str, Any] = {
    "size": SIZE,
    "widths": (32, 64),
    "encoder_depths": (1, 1),
    "decoder_depths": (1, 1),
    "batch": 16,
    "warmup": 1_000,
    "ema": 1_000,
    "sample_every": 10**9,
    "checkpoint_every": 10**9,
}
TOKENIZERS: dict[str, tuple[str, dict[str, Any]]] = {  # recipe, and what is special about its knobs
    "vq": ("tokenizers/vq_vae", {"channels": 8, "entries": 256}),
    "vae": ("tokenizers/vae", {"channels": 8}),
    "multiscale": ("tokenizers/multiscale", {"channels": 8, "entries": 256, "sides": (1, 2, 3, 4, 6, 8)}),
}
GENERATOR: dict[str, Any] = {
    "width": 128,
    "text_depth": 0,
    "text_length": 12,
    "vocabulary": 256,
    "batch": 16,
    "lr": 2e-3,
    "muon": 5e-3,
    "warmup": 500,
    "ema": 300,
    "sample_every": 10**9,
    "checkpoint_every": 10**9,
}


@dataclass(frozen=True, eq=False)
class Arm:
    """A generator that takes part.

    Args:
        name: of its folders.
        recipe: its recipe; its knobs are those of `GENERATOR` and ``knobs``.
        tokenizer: one of `TOKENIZERS`.
        knobs: what is special about it.
        order: by its knobs, that of a batch after a part of the training in [0, 1], where the training changes it.
    """

    name: str
    recipe: Recipe
    tokenizer: str = "vq"
    knobs: Mapping[str, Any] = field(default_factory=dict)
    order: Callable[[Any], Callable[[float], Order]] | None = None


@dataclass(frozen=True)
class Pace:
    """How an arm is asked to draw; None leaves it to the recipe."""

    steps: int | None = None
    guidance: float | None = None
    head_steps: int | None = None


OWN = Pace()


@dataclass(frozen=True)
class Scores:
    """What the drawings of one arm and seed are worth.

    ``frechet``: distance to the true pictures of the same captions, in the shipped features. ``colour``, ``shape`` and
    ``place``: share of drawings in which the recogniser reads what was asked. ``passes``: calls of the backbone, and
    ``positions``: places that its blocks computed, for one picture; guidance counts twice.
    """

    frechet: float
    colour: float
    shape: float
    place: float
    passes: int
    positions: int


def folder_of(experiment: Experiment, name: str, seed: int, images: int) -> Path:
    """Where a training of this world lies."""
    return experiment.directory.parent / "drawing" / f"{name}-{seed}-{images}"


def finished(task: Task[Any, Any], settings: Settings, folder: Path, label: str) -> Run:
    """The end of a training, resumed or read back; an interrupted one is saved, and the interruption passed on."""
    run = train(task, settings, folder, label=label)
    if run.images < settings.images:
        raise KeyboardInterrupt
    return run


def tokenizer(experiment: Experiment, name: str) -> Path:
    """Folder of a tokenizer, one of `TOKENIZERS`, trained as its recipe trains it; all seeds of a proof share it."""
    path, own = TOKENIZERS[name]
    seed = experiment.seeds[0]
    images = round(TOKENIZER_IMAGES * experiment.scale)
    folder = folder_of(experiment, name, seed, images)
    if not (folder / "model" / CARD).is_file():
        experiment.say(f"tokenizer {name}, seed {seed}")
        recipe = find_recipe(path)
        knobs = recipe.knobs(**TOKENIZER, **own, seed=seed, images=images)
        torch.manual_seed(seed)
        run = finished(recipe.task(knobs), knobs, folder, f"{name} seed {seed}")
        save(run.average.model, folder / "model", recipe=path, knobs=knobs, facts={"images": images})
    return folder / "model"


def scenes(seed: int, split: Split, length: int) -> Scenes:
    """Scenes of one thing whose captions tell everything."""
    told = PHRASINGS.index("size and position")
    return Scenes(seed, split=split, size=SIZE, objects=(1, 1), phrasing=told, length=length)


def knobs_of(experiment: Experiment, arm: Arm, seed: int) -> Any:
    """All knobs of an arm."""
    folder, images = tokenizer(experiment, arm.tokenizer), round(GENERATOR_IMAGES * experiment.scale)
    return arm.recipe.knobs(**{**GENERATOR, **arm.knobs, "seed": seed, "images": images, "tokenizer": str(folder)})


@functools.lru_cache(maxsize=8)
def trained(experiment: Experiment, arm: Arm, seed: int) -> TextToImage:
    """The generator of an arm, trained or read back."""
    knobs = knobs_of(experiment, arm, seed)
    folder = folder_of(experiment, arm.name, seed, knobs.images)
    experiment.say(f"{arm.name}, seed {seed}")
    torch.manual_seed(seed)
    drawer = arm.recipe.build(knobs)
    assert isinstance(drawer, TextToImage)
    assert isinstance(drawer.tokenizer, QuantizingTokenizer)
    kept = folder_of(experiment, "pieces", seed, SCENES)
    pieces = TokenizedPictures(
        drawer.tokenizer, [scenes(seed, "train", SCENES)], kept, {"phrasing": "size and position"}
    )
    drawer.subwords = Subwords.trained(pieces.captions, size=knobs.vocabulary, length=knobs.text_length)
    shown, order = held_out()[1][:16], arm.order(knobs) if arm.order else None
    task = text_to_image_task(drawer, pieces, (1.0,), seed=seed, preview=shown, order=order, images=knobs.images)
    model = finished(task, knobs, folder, f"{arm.name} seed {seed}").average.model.eval()
    assert isinstance(model, TextToImage)
    return model


@functools.cache
def prompts(count: int) -> tuple[Prompt, ...]:
    """So many held-out captions with their true pictures."""
    source = scenes(0, "heldout", count)
    found = [source[i] for i in range(count)]
    return tuple(Prompt(scene.caption, scene.image, scene.things, placed=True) for scene in found)


def held_out() -> tuple[Image, list[str]]:
    """The true pictures of the held-out captions, and the captions."""
    return to_tensor([prompt.picture for prompt in prompts(DRAWN)]), [prompt.text for prompt in prompts(DRAWN)]


def rebuilt(experiment: Experiment, name: str) -> dict[str, float]:
    """What a tokenizer makes of the true pictures: their distance to these, and what is read in them; nothing that
    draws its tokens can be expected to beat it."""
    real, _ = held_out()
    model: QuantizingTokenizer = load(tokenizer(experiment, name))
    with torch.no_grad():
        decoded = model.decode(model.encode(real))
    return {"frechet": distance(decoded, real)} | shares(decoded)


def scores(experiment: Experiment, arm: Arm, seed: int, pace: Pace = OWN) -> Scores:
    """How an arm draws the held-out captions at some pace; kept beside its training."""
    images = round(GENERATOR_IMAGES * experiment.scale)
    told = "-".join(f"{key}-{value}" for key, value in asdict(pace).items() if value is not None) or "own"
    path = folder_of(experiment, arm.name, seed, images) / f"{told}.json"
    if not path.is_file():
        found = judged(trained(experiment, arm, seed), seed, pace)
        path.write_text(json.dumps(asdict(found)), encoding="utf-8")
    found = Scores(**json.loads(path.read_text(encoding="utf-8")))
    experiment.say(f"{arm.name}, seed {seed}, {told}: {found}")
    return found


def judged(drawer: TextToImage, seed: int, pace: Pace = OWN) -> Scores:
    """The scores of a drawer."""
    real, captions = held_out()
    parts = []
    for at in range(0, len(captions), BATCH):
        some = captions[at : at + BATCH]
        parts.append(draw(drawer, some, [derive_seed(seed, "drawn", at + i) for i in range(len(some))], pace))
    drawn = torch.cat(parts)
    passes, positions = work(drawer, captions[:1], pace)
    return Scores(distance(drawn, real), **shares(drawn), passes=passes, positions=positions)


def draw(drawer: TextToImage, captions: Sequence[str], seeds: Sequence[int], pace: Pace = OWN) -> Image:
    """Drawings of some captions at some pace."""
    return drawer.images(captions, seeds, steps=pace.steps, guidance=pace.guidance, head_steps=pace.head_steps)


def shares(drawn: Image) -> dict[str, float]:
    """The share of pictures of the held-out captions in which the recogniser reads what was asked, by part."""
    right = judge_prompts(drawn, prompts(DRAWN), load("recogniser"), "single")
    parts = {"colour": "prompt/colour", "shape": "prompt/shape", "place": "prompt/position"}
    return {part: sum(right[name]) / len(right[name]) for part, name in parts.items()}


def work(drawer: TextToImage, captions: Sequence[str], pace: Pace = OWN) -> tuple[int, int]:
    """How often the backbone is called for one picture, and at how many places in all: of that block that is called
    most."""
    calls: dict[nn.Module, list[int]] = {}

    def note(block: nn.Module, inputs: tuple[Any, ...]) -> None:
        calls.setdefault(block, []).append(inputs[0].shape[:-1].numel())

    stacks = [part for part in drawer.generator.get_submodule("backbone").modules() if isinstance(part, nn.ModuleList)]
    hooks = [block.register_forward_pre_hook(note) for block in {block for stack in stacks for block in stack}]
    try:
        draw(drawer, captions, [0], pace)
    finally:
        for hook in hooks:
            hook.remove()
    most = max(calls.values(), key=len)
    return len(most), sum(most)


@dataclass(frozen=True)
class Found:
    """Scores of one arm at one pace, seed by seed."""

    scores: tuple[Scores, ...]

    def of(self, part: str) -> list[float]:
        """One of the scores, seed by seed."""
        return [float(getattr(one, part)) for one in self.scores]

    def report(self) -> dict[str, Any]:
        """Every score with its interval; passes and positions as they are."""
        counted = {"passes": self.scores[0].passes, "positions": self.scores[0].positions}
        return {name: summary(self.of(name)) for name in ("frechet", "colour", "shape", "place")} | counted

    def less(self, other: Found, part: str = "frechet") -> dict[str, Any]:
        """One of the scores less that of another, paired by seed."""
        return gap(other.of(part), self.of(part))


def found(experiment: Experiment, arm: Arm, pace: Pace = OWN) -> Found:
    """Scores of an arm at a pace over all seeds."""
    return Found(tuple(scores(experiment, arm, seed, pace) for seed in experiment.seeds))
