"""CLIP by words alone: zero-shot classification and retrieval against chance."""

from __future__ import annotations

from limner.encoders.matcher import ImageTextModel
from limner.evaluate.retrieval import held_out, retrieval_scores
from limner.evaluate.zero_shot import zero_shot_scores
from limner.experiments.encoders import teaching
from limner.experiments.encoders.teaching import taught
from limner.experiments.experiment import Experiment, Finding
from limner.experiments.smallworld import summary

CHANCE = {"zero_shot/colour": 1 / 10, "zero_shot/shape": 1 / 12, "zero_shot/emoji_group": 1 / 9}


def findings(experiment: Experiment) -> tuple[Finding, ...]:
    """One per claim of the recipe."""
    models = [taught(experiment, "clip", max(teaching.BATCHES), seed) for seed in experiment.seeds]
    return classifies_by_words(models), finds_partners(models)


def classifies_by_words(models: list[ImageTextModel]) -> Finding:
    """Accuracy over chance, the least of the interval at least 3, of colour, shape and emoji group."""
    scores = [zero_shot_scores(model, teaching.ENCODER["size"], teaching.MEASURED) for model in models]
    found = {name: summary([score[name] for score in scores]) for name in CHANCE}
    holds = all(found[name]["interval"][0] >= 3 * chance for name, chance in CHANCE.items())
    return Finding(holds, {"accuracy": found, "chance": CHANCE})


def finds_partners(models: list[ImageTextModel]) -> Finding:
    """R@1 over chance, the least of the interval at least 10, in both worlds and directions."""
    size = teaching.ENCODER["size"]
    scores = [retrieval_scores(model, size, teaching.MEASURED) for model in models]
    chance = {world: 1 / len(examples) for world, examples in held_out(size, teaching.MEASURED).items()}
    first = [name for name in scores[0] if name.endswith("@1")]
    found = {name: summary([score[name] for score in scores]) for name in first}
    holds = all(found[name]["interval"][0] >= 10 * chance[name.split("/")[1]] for name in first)
    return Finding(holds, {"recall": found, "chance": chance})
