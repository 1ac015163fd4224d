"""How the recogniser is trained: scenes, emoji and empty pictures, all made as soft and noisy as drawn ones are."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from limner.data.emoji import Emoji
from limner.data.scenes import COLOURS, SHAPES, SIZES, Scenes, Thing
from limner.data.scenes.sampling import Split
from limner.encoders import views
from limner.encoders.recogniser import CELL, SIDE, Recogniser
from limner.encoders.views import BACKDROPS
from limner.nn.whole_batch import over_batch
from limner.train.task import Loss, Task
from limner.types import Rng

GRID = SIDE // CELL
SPLITS: tuple[Split, ...] = ("train", "heldout", "compositions")
TRAIN_SEED = 10_000  # away from the seeds of every evaluation, so that no judged scene was trained on
KINDS = ("emoji", "scene", "emoji", "empty", "emoji", "scene", "emoji", "emoji")  # the stream repeats these eight


class RecogniserTraining:
    """The task of training a recogniser. All emoji are learned, the held-out ones too: a judge must know every name;
    "held out" for it means views that it has not seen."""

    def __init__(self, model: Recogniser, *, seed: int = 0) -> None:
        emoji = Emoji(split="all", size=SIDE)
        self.seed = seed
        self.rgba = views.cutouts(emoji, SIDE)
        labels = [emoji[i].label for i in range(len(emoji))]
        self.names = torch.tensor([emoji.canonical(label) for label in labels])
        self.scenes = {split: _worlds(seed, split, emoji) for split in SPLITS}
        self.model = model

    def begin(self) -> RecogniserTraining:
        """Start the rows of the name head at the principal components of the pictures they name. For a fresh model."""
        rows = self.model.name.weight
        with torch.no_grad():
            rows.copy_(views.signatures(self.rgba, rows.shape[1]) * (20 / rows.shape[1]))
        return self

    def batch(self, start: int, size: int) -> dict[str, Tensor]:
        """Items ``start .. start + size - 1`` of the training stream."""
        return self.items("train", start, size)

    @torch.autocast("cpu", enabled=False)
    def items(self, split: Split, start: int, size: int) -> dict[str, Tensor]:
        """The same for any split of the scenes."""
        seed = self.seed * 3 + SPLITS.index(split)
        u = views.draws(seed, start, size, 32)
        noise = views.grain(seed, start, size, SIDE)
        kinds = [KINDS[k % len(KINDS)] for k in range(start, start + size)]
        image = torch.ones(size, 3, SIDE, SIDE)
        name = torch.full((size,), -1)
        things: list[tuple[Thing, ...]] = [()] * size
        for row, kind in enumerate(kinds):
            if kind == "scene":
                scene = self.scenes[split][int(u[row, 0] * len(self.scenes[split]))][start + row]
                image[row] = torch.from_numpy(scene.image).permute(2, 0, 1).float() / 255
                things[row] = scene.things
        rows = torch.tensor([k for k, kind in enumerate(kinds) if kind == "emoji"], dtype=torch.long)
        if len(rows):
            chosen = torch.tensor([self._turn(seed, start + row) for row in rows.tolist()])
            image[rows], name[rows] = self._emoji(chosen, u[rows]), self.names[chosen]
        rows = torch.tensor([k for k, kind in enumerate(kinds) if kind == "empty"], dtype=torch.long)
        if len(rows):
            image[rows] = _empty(u[rows], noise[rows])
        image = _soften(image, u, noise)
        return {"image": views.to_network(image), "name": name, **_targets(things, name >= 0)}

    def _turn(self, seed: int, k: int) -> int:
        """Which emoji item ``k`` shows: every emoji comes once per epoch, in a new order."""
        rounds, place = divmod(k, len(KINDS))
        count = rounds * KINDS.count("emoji") + KINDS[:place].count("emoji")
        epoch, position = divmod(count, len(self.rgba))
        return int(_order(seed, epoch, len(self.rgba))[position])

    def _emoji(self, chosen: Tensor, u: Float[Tensor, "b u"]) -> Float[Tensor, "b 3 h w"]:
        zoom = 0.9 + 0.15 * u[:, 4]
        shift = (u[:, 5:7] - 0.5) * 0.16
        angle = (u[:, 9] - 0.5) * 0.2 * (u[:, 10] > 0.5)
        kinds = ((u[:, 0] * 8).long() - 5).clamp(0, 1)  # three of four on white, else on a plain colour
        behind = views.backdrops(kinds, u[:, 12:24], SIDE)
        return views.paste(self.rgba[chosen].float() / 255, behind, zoom, shift, angle, torch.zeros(len(u)) > 0)

    def task(self) -> Task[Recogniser, dict[str, Tensor]]:
        """What the loop trains; previews show what the network sees."""
        return Task(
            self.model,
            self.batch,
            self.loss,
            preview=lambda _: self.batch(0, 32)["image"],
            validate=self.validate,
        )

    def loss(self, model: Recogniser, batch: dict[str, Tensor], rng: Rng) -> Loss:
        """Cross-entropies of name, centre (binary), shape, colour and size at the things, and L1 of the offset."""
        maps, names = model(batch["image"])
        metrics: dict[str, Tensor | float] = {}
        labelled = batch["name"] >= 0
        logits, target = names[labelled], batch["name"][labelled]
        named = labelled.sum().clamp(min=1)
        total = over_batch(F.cross_entropy(logits, target, reduction="sum") / named, labelled.sum(), "names")
        metrics["accuracy/name"] = (logits.argmax(1) == target).sum() / named
        cared = batch["centre"] >= 0
        scenes = (~labelled).sum()
        binary = F.binary_cross_entropy_with_logits(
            maps["centre"][:, 0][cared], batch["centre"][cared], reduction="sum"
        )
        total = total + 0.5 * over_batch(binary / scenes.clamp(min=1), scenes, "centres")
        b, row, column = batch["cells"].unbind(1)
        count, of_things = max(1, len(b)), (maps["offset"][b, :, row, column] - batch["offset"]).abs().sum()
        for place, part in enumerate(("shape", "colour", "size")):
            logits, target = maps[part][b, :, row, column], batch["parts"][:, place]
            of_things = of_things + F.cross_entropy(logits, target, reduction="sum")
            metrics[f"accuracy/{part}"] = (logits.argmax(1) == target).sum() / count
        total = total + over_batch(of_things / count, len(b), "things")
        return total, metrics

    @torch.no_grad()
    def validate(self, model: Recogniser) -> dict[str, float]:
        """``accuracy/...``: on unseen softened views, a lower bound; ``read/...``: on clean scenes and emoji."""
        batches = [self.items("heldout", start, 128) for start in range(0, 512, 128)]
        scores = [self.loss(model, batch, Rng(0))[1] for batch in batches]
        means = {name: sum(float(score[name]) for score in scores) / len(scores) for name in scores[0]}
        white = Scenes(self.seed, split="heldout", size=SIDE, objects=(1, 2))
        return means | read_scenes(model, white, 200) | {"read/name": name_accuracy(model, self.rgba, self.names)}


def read_scenes(model: Recogniser, scenes: Scenes, count: int) -> dict[str, float]:
    """How often ``read`` is right about the first ``count`` scenes: per thing its shape, colour, size (of the nearest
    sighting within one cell), per scene everything at once with nothing too much. All between 0 and 1."""
    right = dict.fromkeys(("shape", "colour", "size"), 0)
    things = whole = 0
    for start in range(0, count, 64):
        batch = [scenes[i] for i in range(start, min(start + 64, count))]
        found = model.read(views.to_network(views.to_tensor(scene.image for scene in batch)))
        for scene, sightings in zip(batch, found, strict=True):
            perfect = len(sightings) == len(scene.things)
            for thing in scene.things:
                near = [s for s in sightings if max(abs(s.x - thing.x), abs(s.y - thing.y)) <= CELL]
                hits = {part: bool(near) and getattr(near[0], part) == getattr(thing, part) for part in right}
                right = {part: right[part] + hit for part, hit in hits.items()}
                things += 1
                perfect = perfect and all(hits.values())
            whole += perfect
    return {f"read/{part}": hits / things for part, hits in right.items()} | {"read/scene": whole / count}


def name_accuracy(model: Recogniser, rgba: Tensor, names: Tensor) -> float:
    """How often clean full-canvas emoji on white are named right."""
    right = 0
    for part, wanted in zip(rgba.split(128), names.split(128), strict=True):
        flat = part.float() / 255
        right += int((model.name_emoji(views.to_network(flat[:, :3] + 1 - flat[:, 3:]))[0] == wanted).sum())
    return right / len(names)


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, count: int) -> np.ndarray:
    return np.random.default_rng((seed, epoch, 2)).permutation(count)


def _worlds(seed: int, split: Split, emoji: Emoji) -> list[Scenes]:
    """Scenes on and off the grid; half of them on white, which is what generators are asked for. The judge must know
    every composition, so a third of its training scenes hold one that generators never see."""
    splits: tuple[Split, ...] = ("train", "train", "compositions") if split == "train" else (split,)
    seed = seed + TRAIN_SEED if split == "train" else seed
    return [
        Scenes(
            seed,
            split=part,
            size=SIDE,
            objects=(1, 4),
            background=background,
            grid=grid,
            sprites=emoji,
            sprite_share=0.0 if grid else 0.1,
        )
        for background in (*("white",) * 3, *BACKDROPS[1:])
        for grid in (True, False)
        for part in splits
    ]


def _empty(u: Float[Tensor, "b u"], noise: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
    """Pictures with nothing in them: a backdrop, pure noise, or noise smeared to blobs."""
    kinds = (u[:, 0] * 8).long()
    image = views.backdrops(kinds.clamp(max=3), u[:, 12:24], SIDE)
    blurred = views.blur(noise, 1 + 9 * u[:, 4])
    blobs = 0.5 + 0.25 * blurred / blurred.std(dim=(1, 2, 3), keepdim=True)
    image = torch.where((kinds == 4)[:, None, None, None], 0.5 + 0.4 * noise, image)
    return torch.where((kinds >= 5)[:, None, None, None], blobs, image).clamp(0, 1)


def _soften(
    image: Float[Tensor, "b 3 h w"], u: Float[Tensor, "b u"], noise: Float[Tensor, "b 3 h w"]
) -> Float[Tensor, "b 3 h w"]:
    """Half of the pictures a little blurred, a third block-rounded, a third bent, half noisy; mild on purpose."""
    for chosen, change in (
        (u[:, 25] > 0.5, lambda rows: views.blur(image[rows], 1.3 * u[rows, 24])),
        (u[:, 27] > 0.66, lambda rows: views.blocks(image[rows], 0.2 * u[rows, 26])),
        (u[:, 29] > 0.66, lambda rows: views.warp(image[rows], 0.025 * u[rows, 28], noise[rows, :2, :5, :5])),
        (u[:, 31] > 0.5, lambda rows: image[rows] + 0.06 * u[rows, 30, None, None, None] * noise[rows]),
    ):
        rows = chosen.nonzero()[:, 0]
        if len(rows):
            image[rows] = change(rows)
    return image.clamp(0, 1)


def _targets(things: list[tuple[Thing, ...]], is_emoji: Tensor) -> dict[str, Tensor]:
    """Centre map ``[b, g, g]`` (1 at things, 0 elsewhere, -1: do not care, as in the eight cells around a thing and in
    emoji), and per thing its cell ``[t, 3]`` (picture, row, column), offset ``[t, 2]`` in cells and parts ``[t, 3]``.
    Sprites are no shapes: nothing is there."""
    centre = torch.zeros(len(things), GRID, GRID)
    centre[is_emoji] = -1
    cells, offsets, parts = [], [], []
    for b, group in enumerate(things):
        for thing in group:
            if thing.emoji >= 0:
                continue
            column, row = int(thing.x / CELL), int(thing.y / CELL)
            centre[b, max(0, row - 1) : row + 2, max(0, column - 1) : column + 2] = -1
            cells.append((b, row, column))
            offsets.append((thing.x / CELL - column - 0.5, thing.y / CELL - row - 0.5))
            parts.append((SHAPES.index(thing.shape), COLOURS.index(thing.colour), SIZES.index(thing.size)))
    for b, row, column in cells:
        centre[b, row, column] = 1
    return {
        "centre": centre,
        "cells": torch.tensor(cells, dtype=torch.long).reshape(-1, 3),
        "offset": torch.tensor(offsets, dtype=torch.float32).reshape(-1, 2),
        "parts": torch.tensor(parts, dtype=torch.long).reshape(-1, 3),
    }
