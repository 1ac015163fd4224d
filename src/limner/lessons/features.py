"""How the feature net learns to look: several questions at once about damaged pictures of limner's own worlds.

Which emoji, which of its subgroups, which shapes, colours and sizes, which photograph, which backdrop, and how the
picture was damaged. The last keeps the features sensitive to blur, noise, blockiness and distortion, which a pure
classifier learns to ignore. Held-out emoji are never shown, so that distances on them are fair.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from limner.data.emoji import Emoji
from limner.data.photos import PHOTOS, Photos
from limner.data.scenes import COLOURS, SHAPES, SIZES, Scenes, Thing
from limner.encoders import views
from limner.encoders.features import FeatureNet
from limner.encoders.views import BACKDROPS, DAMAGES
from limner.nn.whole_batch import Coupling
from limner.train.task import Loss, Task
from limner.types import Rng

DAMAGE_LEVELS = 3  # every kind of damage is told apart in three strengths
KINDS = ("emoji", "scene", "emoji", "scene", "emoji", "scene", "emoji", "photo")  # the stream repeats these eight
Split = Literal["train", "heldout"]
SPLITS: tuple[Split, ...] = ("train", "heldout")


class FeatureHeads(nn.Module):
    """One linear head per question on the pooled vector, standardised over the batch because averages over places vary
    little; trained beside the net and then thrown away."""

    def __init__(self, pooled_dim: int, num_names: int, num_subgroups: int) -> None:
        super().__init__()
        d = pooled_dim
        self.standardise = nn.BatchNorm1d(d, affine=False)
        self.where = nn.Sequential(nn.Linear(16 * d, 64), nn.LayerNorm(64))
        self.name = nn.Linear(64, num_names)
        self.subgroup = nn.Linear(64 + d, num_subgroups)
        self.attributes = nn.Linear(d, len(SHAPES) + len(COLOURS) + len(SIZES))
        self.photo = nn.Linear(d, len(PHOTOS))
        self.backdrop = nn.Linear(d, len(BACKDROPS))
        self.damage = nn.Linear(d, 1 + (len(DAMAGES) - 1) * DAMAGE_LEVELS)

    def forward(self, places: Float[Tensor, "b d h w"]) -> dict[str, Float[Tensor, "b v"]]:
        vector = self.standardise(places.float().mean(dim=(2, 3)))
        where = self.where(F.adaptive_avg_pool2d(places, 4).flatten(1))
        answers = {q: getattr(self, q)(vector) for q in ("attributes", "photo", "backdrop", "damage")}
        answers |= {"name": self.name(where), "subgroup": self.subgroup(torch.cat([where, vector], 1))}
        return {question: logits.float() for question, logits in answers.items()}


class FeatureTraining:
    """The task of training a feature net on emoji of the train split, scenes, and crops of photographs."""

    def __init__(self, model: FeatureNet, *, seed: int = 0, size: int = 64) -> None:
        emoji = Emoji(split="train", size=size)
        self.seed, self.size = seed, size
        self.rgba = views.cutouts(emoji, size)
        names = sorted({emoji.subgroup(i) for i in range(len(emoji))})
        self.subgroups = torch.tensor([names.index(emoji.subgroup(i)) for i in range(len(emoji))])
        labels = [emoji.canonical(emoji[i].label) for i in range(len(emoji))]
        places = {label: place for place, label in enumerate(sorted(set(labels)))}
        self.names = torch.tensor([places[label] for label in labels])
        self.scenes = {
            split: [Scenes(seed=seed, split=split, size=size, objects=(1, 4), background=kind) for kind in BACKDROPS]
            for split in SPLITS
        }
        self.photos = {split: Photos(split, size=size, seed=seed) for split in SPLITS}
        self.model = model
        self.heads = FeatureHeads(model.pooled_dim, len(places), len(names))
        rows = self.heads.name.weight
        first = [int((self.names == place).nonzero()[0]) for place in range(len(places))]
        with torch.no_grad():
            rows.copy_(views.signatures(self.rgba, rows.shape[1])[first] * (20 / rows.shape[1]))

    def batch(self, start: int, size: int) -> dict[str, Tensor]:
        """Items ``start .. start + size - 1`` of the training stream: pictures and the answers (-1: not asked)."""
        return self._items("train", start, size)

    @torch.autocast("cpu", enabled=False)
    def _items(self, split: Split, start: int, size: int) -> dict[str, Tensor]:
        seed = self.seed * 2 + (split != "train")
        u = views.draws(seed, start, size, 32)
        kinds = [KINDS[k % len(KINDS)] for k in range(start, start + size)]
        backdrop = (u[:, 0] * len(BACKDROPS)).long()
        chosen = (u[:, 1] * len(self.rgba)).long()
        image = torch.empty(size, 3, self.size, self.size)
        attributes = torch.zeros(size, len(SHAPES) + len(COLOURS) + len(SIZES))
        photo = torch.full((size,), -1)
        for row, kind in enumerate(kinds):
            if kind == "scene":
                scene = self.scenes[split][int(backdrop[row])][start + row]
                image[row], attributes[row] = views.to_tensor([scene.image])[0], _attributes(scene.things)
            elif kind == "photo":
                example = self.photos[split][(start + row) % len(self.photos[split])]
                image[row], photo[row] = views.to_tensor([example.image])[0], example.label
        is_emoji, is_scene = (torch.tensor([kind == wanted for kind in kinds]) for wanted in ("emoji", "scene"))
        if is_emoji.any():
            image[is_emoji] = self._emoji(chosen[is_emoji], backdrop[is_emoji], u[is_emoji])
        harm = ((u[:, 2] - 0.3) / 0.7 * (len(DAMAGES) - 1)).floor().add(1).clamp(min=0).long()  # 30 % stay undamaged
        image = views.damage(image, harm, u[:, 3], views.grain(seed, start, size, self.size))
        return {
            "image": views.to_network(image),
            "name": torch.where(is_emoji, self.names[chosen], -1),
            "subgroup": torch.where(is_emoji, self.subgroups[chosen], -1),
            "photo": photo,
            "backdrop": torch.where(photo < 0, backdrop, -1),
            "damage": torch.where(harm > 0, 1 + (harm - 1) * DAMAGE_LEVELS + (u[:, 3] * DAMAGE_LEVELS).long(), 0),
            "attributes": attributes,
            "is_scene": is_scene,
        }

    def _emoji(self, chosen: Tensor, kinds: Tensor, u: Float[Tensor, "b u"]) -> Float[Tensor, "b 3 h w"]:
        free = u[:, 24] > 0.5  # half fill the canvas nearly as they are, half lie anywhere
        zoom = torch.where(free, 0.5 + 0.6 * u[:, 4], 1.0)
        shift = (u[:, 5:7] - 0.5) * 0.9 * (1.1 - zoom)[:, None] + (u[:, 7:9] - 0.5) * 0.1
        angle = (u[:, 9] - 0.5) * 0.5 * (u[:, 10] > 0.5) * free
        behind = views.backdrops(kinds, u[:, 12:24], self.size)
        return views.paste(self.rgba[chosen].float() / 255, behind, zoom, shift, angle, (u[:, 11] > 0.7) & free)

    def task(self) -> Task[FeatureNet, dict[str, Tensor]]:
        """What the loop trains; the heads are not shipped, and previews show what the network sees."""
        return Task(
            self.model,
            self.batch,
            self.loss,
            self.heads,
            lambda _: self.batch(0, 32)["image"],
            self.validate,
            Coupling("its heads standardise features over the batch", 2),
        )

    def loss(self, model: FeatureNet, batch: dict[str, Tensor], rng: Rng) -> Loss:
        """Sum of the cross-entropies of all questions (binary for attributes); accuracies as metrics."""
        answers = self.heads(model.places(batch["image"]))
        total = answers["name"].new_zeros(())
        metrics: dict[str, Tensor | float] = {}
        is_scene = batch["is_scene"]
        for question in ("name", "subgroup", "photo", "backdrop", "damage"):
            target = batch[question]
            labelled = target >= 0
            logits, target = answers[question][labelled], target[labelled]
            count = labelled.sum().clamp(min=1)
            total = total + F.cross_entropy(logits, target, reduction="sum") / count
            metrics[f"accuracy/{question}"] = (logits.argmax(1) == target).sum() / count
        logits, target = answers["attributes"][is_scene], batch["attributes"][is_scene]
        binary = F.binary_cross_entropy_with_logits(logits, target, reduction="sum")
        total = total + 0.5 * binary / is_scene.sum().clamp(min=1)
        metrics["accuracy/attributes"] = ((logits > 0) == (target > 0.5)).float().mean()
        return total, metrics

    @torch.no_grad()
    def validate(self, model: FeatureNet) -> dict[str, float]:
        """Accuracies on held-out scenes and on new views of the training emoji."""
        batches = [self._items("heldout", start, 128) for start in range(0, 512, 128)]
        scores = [self.loss(model, batch, Rng(0))[1] for batch in batches]
        return {name: sum(float(score[name]) for score in scores) / len(scores) for name in scores[0]}


def _attributes(things: tuple[Thing, ...]) -> Float[Tensor, "a"]:
    """Which shapes, colours and sizes occur: a 0/1 vector in the order SHAPES, COLOURS, SIZES."""
    present = torch.zeros(len(SHAPES) + len(COLOURS) + len(SIZES))
    for thing in things:
        present[SHAPES.index(thing.shape)] = 1
        present[len(SHAPES) + COLOURS.index(thing.colour)] = 1
        present[len(SHAPES) + len(COLOURS) + SIZES.index(thing.size)] = 1
    return present
