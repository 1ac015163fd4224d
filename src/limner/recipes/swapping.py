"""Swapping the language model of a run for another run's: from two folders to a third, and how it came out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from limner.catalogue.places import commit
from limner.data.scenes import Scenes
from limner.errors import InputError
from limner.evaluate.answering import answering_scores, chance, questions_of
from limner.lessons.conversations import answers_of, scene_questions
from limner.models.swapping import swapped
from limner.models.vision_language import VisionLanguageModel
from limner.nn.pixels import to_tensor
from limner.recipes.understanding import family
from limner.store.files import DESCRIBED, is_described, locate, read_card, weights_hash
from limner.store.folder import load, recipe_of, save
from limner.store.knobs import parse_knobs
from limner.types import derive_seed

MEASURED = 32  # pictures by which the gain is refitted
LANGUAGE = ("language", "prompt", "lora", "lora_alpha", "lora_targets", "width", "depth", "vocabulary", "length")


@dataclass(frozen=True)
class SavedModel:
    """A model of a recipe of understanding, and where it came from."""

    model: VisionLanguageModel
    knobs: family.Knobs
    recipe: str
    name: str


def read_run(name: str) -> SavedModel:
    """A run, or a saved model, that sees; raises `InputError` for others."""
    folder = locate(name)
    card = read_card(folder)
    carried = {knob: str(folder / knob) for knob in DESCRIBED if is_described(str(folder / knob))}
    knobs = parse_knobs(recipe_of(card, folder).knobs, {**card["knobs"], **carried}, folder)
    model = load(folder)
    if not isinstance(model, VisionLanguageModel) or not isinstance(knobs, family.Knobs):
        raise InputError(f"{name} is no model that only sees: give a run of a recipe such as language_basis or llava")
    return SavedModel(model, knobs, card["recipe"], name)


def swap(first: SavedModel, second: SavedModel) -> VisionLanguageModel:
    """The first model with the second's language model; errors as those of `swapped`."""
    return swapped(first.model, second.model.language, second.model.vocabulary, _pictures(first.model))


def permuted(first: SavedModel, second: SavedModel, seed: int) -> VisionLanguageModel:
    """The control: every coefficient meets the vector of a word drawn at random."""
    rows = len(second.model.language.words)
    order = torch.randperm(rows, generator=torch.Generator().manual_seed(derive_seed(seed, "swap")))
    return swapped(first.model, second.model.language, second.model.vocabulary, _pictures(first.model), order)


def _pictures(model: VisionLanguageModel) -> torch.Tensor:
    """Scenes to learn from, by which the gain is refitted."""
    scenes = Scenes(1, split="train", size=model.size, objects=(1, 4))
    return to_tensor([scenes[index].image for index in range(MEASURED)])


def save_swapped(model: VisionLanguageModel, first: SavedModel, second: SavedModel, folder: Path) -> Path:
    """Write the model as `limner.load` reads it: the first one's recipe, with the second one's language model."""
    knobs = replace(first.knobs, **{name: getattr(second.knobs, name) for name in LANGUAGE})
    swap = {"model": weights_hash(first.name), "language": weights_hash(second.name)}
    return save(model, folder, recipe=first.recipe, knobs=knobs, facts={"swapped": swap, "commit": commit()})


def scores(models: dict[str, VisionLanguageModel], count: int) -> dict[str, dict[str, float]]:
    """Share of right answers about ``count`` held-out scenes, by model and kind of question, beside what the commonest
    answer and a blind guess among those there are would get."""
    (size,) = {model.size for model in models.values()}
    images, turns = questions_of(scene_questions(Scenes(0, split="heldout", size=size, objects=(1, 4)), count))
    found: dict[str, dict[str, float]] = {}
    for name, model in models.items():
        every = answering_scores(answers_of(model), images, turns)
        found[name] = _part(every, "qa/")
        found["majority"] = _part(every, "majority/")
    return {**found, "chance": chance(turns)}


def _part(every: dict[str, float], prefix: str) -> dict[str, float]:
    return {name.removeprefix(prefix): value for name, value in every.items() if name.startswith(prefix)}
