"""The linear probe: what a linear reading of frozen features knows (CLIP, arXiv:2103.00020, Appendix A.3).

    min_W  CE(W z + b, y) + decay / 2 |W|^2,      z = (features - mean) / deviation over the training pictures

by L-BFGS, with the decay that does best on every fifth training picture, which is then trained on as well. Of scenes
with one thing its colour, shape, size and place are read from the pooled vector, of emoji the group; of scenes with two
things the colour and shape of each from the one patch that holds its centre.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from limner.data.emoji import Emoji, table
from limner.data.scenes import COLOURS, POSITIONS, SHAPES, SIZES, Scene, Scenes, Thing
from limner.data.scenes.sampling import Split
from limner.data.scenes.world import WORLD
from limner.data.source import Example
from limner.encoders.encoder import VisionEncoder
from limner.nn.pixels import to_tensor

DECAYS = (1e-4, 1e-3, 1e-2, 1e-1)
ITERATIONS = 100  # of L-BFGS; they converge well before
SEED = 20_000  # away from those that encoders are trained under
TRAINING, TESTING = 2_000, 500  # scenes
BATCH = 64


class Labelled(NamedTuple):
    """Features with their labels."""

    features: Float[Tensor, "b d"]
    labels: Int[Tensor, "b"]


def linear_probe(training: Labelled, testing: Labelled) -> float:
    """Share of the test labels that a linear classifier gets right."""
    mean, deviation = training.features.mean(0), training.features.std(0).clamp_min(1e-6)
    known, unseen = (
        Labelled(((split.features - mean) / deviation).float(), split.labels) for split in (training, testing)
    )
    classes = int(known.labels.max()) + 1
    fifth = torch.arange(len(known.labels)) % 5 == 0
    fitted, chosen_by = (Labelled(known.features[rows], known.labels[rows]) for rows in (~fifth, fifth))
    decay = max(DECAYS, key=lambda one: _accuracy(_fit(fitted, classes, one), chosen_by))
    return _accuracy(_fit(known, classes, decay), unseen)


def _fit(split: Labelled, classes: int, decay: float) -> torch.nn.Linear:
    linear = torch.nn.Linear(split.features.shape[1], classes)
    for parameter in linear.parameters():
        torch.nn.init.zeros_(parameter)
    optimizer = torch.optim.LBFGS(
        linear.parameters(), max_iter=ITERATIONS, history_size=10, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = functional.cross_entropy(linear(split.features), split.labels)
        loss = loss + decay / 2 * linear.weight.square().sum()
        loss.backward()
        return loss

    with torch.enable_grad():
        optimizer.step(closure)
    return linear


@torch.no_grad()
def _accuracy(linear: torch.nn.Linear, split: Labelled) -> float:
    return float((linear(split.features).argmax(1) == split.labels).float().mean())


@torch.no_grad()
def probe_scores(encoder: VisionEncoder, count: int | None = None) -> dict[str, float]:
    """``probe/colour``, ``shape``, ``size``, ``position`` and ``emoji_group`` from the pooled vector,
    ``probe/patch_colour`` and ``patch_shape`` from the patch under a thing; ``count`` shortens the 500 test scenes, and
    the 2,000 that are trained on and the emoji in proportion."""
    testing = count or TESTING
    numbers: dict[Split, int] = {"train": testing * TRAINING // TESTING, "heldout": testing}
    singles = [_scenes(encoder.size, split, 1, number) for split, number in numbers.items()]
    pooled = [over_pictures(lambda image: encoder(image).pooled, scenes) for scenes in singles]
    scores = {}
    for part, label_fn in PARTS.items():
        labels = [torch.tensor([label_fn(scene.things[0]) for scene in scenes]) for scenes in singles]
        scores[f"probe/{part}"] = linear_probe(*map(Labelled, pooled, labels))
    pairs = [_scenes(encoder.size, split, 2, number) for split, number in numbers.items()]
    patches = [_patches(encoder, scenes) for scenes in pairs]
    for part in ("colour", "shape"):
        labels = [torch.tensor([PARTS[part](thing) for scene in scenes for thing in scene.things]) for scenes in pairs]
        scores[f"probe/patch_{part}"] = linear_probe(*map(Labelled, patches, labels))
    emoji = [_groups(encoder, split, None if count is None else number) for split, number in numbers.items()]
    return {**scores, "probe/emoji_group": linear_probe(*emoji)}


PARTS: dict[str, Callable[[Thing], int]] = {
    "colour": lambda thing: COLOURS.index(thing.colour),
    "shape": lambda thing: SHAPES.index(thing.shape),
    "size": lambda thing: SIZES.index(thing.size),
    "position": lambda thing: POSITIONS.index(thing.position),
}


def _groups(encoder: VisionEncoder, split: Split, count: int | None) -> Labelled:
    """Emoji and their groups: all of a split, or about ``count`` spread over it."""
    emoji, groups = Emoji(split, size=encoder.size), sorted({group for group, _ in table().kinds})
    chosen = range(0, len(emoji), max(1, len(emoji) // (count or len(emoji))))
    features = over_pictures(lambda image: encoder(image).pooled, [emoji[i] for i in chosen])
    return Labelled(features, torch.tensor([groups.index(emoji.group(i)) for i in chosen]))


def _scenes(size: int, split: Split, things: int, count: int) -> list[Scene]:
    source = Scenes(SEED, split=split, size=size, objects=(things, things))
    return [source[i] for i in range(count)]


def over_pictures(look: Callable[[Tensor], Tensor], examples: Sequence[Example]) -> Tensor:
    """What a function says of pictures, batch by batch."""
    starts = range(0, len(examples), BATCH)
    return torch.cat([look(to_tensor([e.image for e in examples[at : at + BATCH]])).float() for at in starts])


def _patches(encoder: VisionEncoder, scenes: list[Scene]) -> Float[Tensor, "t d"]:
    """The feature of the patch under the centre of every thing, scene by scene."""
    features = over_pictures(lambda image: encoder(image).vectors, scenes)
    rows, columns = encoder(to_tensor([scenes[0].image])).grid
    found = [
        (number, int(thing.y / WORLD * rows) * columns + int(thing.x / WORLD * columns))
        for number, scene in enumerate(scenes)
        for thing in scene.things
    ]
    numbers, patches = torch.tensor(found).unbind(1)
    return features[numbers, patches]
