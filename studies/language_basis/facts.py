"""What holds whatever the connector: how a language model answers without one, and how guesses do.

blind        the language model alone
majority     the commonest answer of the training scenes, by kind of question
present      one of the things in the picture at random, whatever the question says of it
told         the language model with the description in words: what it could answer at best
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from limner.data.scenes import Scene
from limner.models.vision_language import VisionLanguageModel
from studies.language_basis.measures import accuracy
from studies.language_basis.plan import MIDDLE
from studies.language_basis.pretrained import POOLS, TESTING, TRAINING, Pretrained
from studies.language_basis.trial import Bench, Trial, prepared
from studies.language_basis.world import scenes, turns

COUNTED = 2_000  # training scenes whose answers are counted


def facts(on: Bench, seed: int) -> dict[str, Any]:
    """Baselines and bounds of a seed's language model."""
    model = prepared(Trial("mlp", seed, MIDDLE, TRAINING), on).model
    assert isinstance(model, VisionLanguageModel)
    return {
        "blind": accuracy(model, on.pools["test"], None),
        "told": on.pretrained.told(on.pretrained.language(seed)),
        **guesses(on.pretrained),
    }


def guesses(pretrained: Pretrained) -> dict[str, dict[str, float]]:
    """Expected accuracies of the commonest answer, and of an answer that names something in the picture."""
    split, seed, _ = POOLS["train"]
    common: dict[str, Counter[str]] = defaultdict(Counter)
    source = scenes(split, seed, pretrained.scenes_of(COUNTED))
    for index in range(len(source)):
        for turn in turns(source[index], index):
            common[turn.kind][turn.answer] += 1
    likeliest = {kind: counter.most_common(1)[0][0] for kind, counter in common.items()}
    split, seed, _ = POOLS["test"]
    source = scenes(split, seed, pretrained.scenes_of(TESTING))
    majority: dict[str, list[float]] = defaultdict(list)
    present: dict[str, list[float]] = defaultdict(list)
    for index in range(len(source)):
        scene = source[index]
        for turn in turns(scene, index):
            right = float(turn.answer == likeliest.get(turn.kind))
            majority[turn.kind].append(right)
            present[turn.kind].append(named(scene, turn.kind) or right)
    return {"majority": shares(majority), "present": shares(present)}


def named(scene: Scene, kind: str) -> float:
    """Chance that an attribute of a thing at random is the right one; 0 for questions that name no attribute."""
    values = {
        "colour": [thing.colour for thing in scene.things],
        "shape": [thing.shape for thing in scene.things],
        "size": [thing.size for thing in scene.things],
        "position": [thing.position for thing in scene.things],
    }
    return 1.0 / len(set(values[kind])) if kind in values else 0.0


def shares(found: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Means by kind and of all."""
    every = [value for values in found.values() for value in values]
    means = {kind: sum(values) / len(values) for kind, values in found.items()}
    return {kind: round(value, 4) for kind, value in {"all": sum(every) / len(every), **means}.items()}
