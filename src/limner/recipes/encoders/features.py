"""Feature net: a small network whose features say how alike two pictures look; limner's own judge of likeness.

Its maps are the perceptual loss of the tokenizers (Zhang et al., LPIPS, arXiv:1801.03924), its pooled vector the space
of the Frechet distance (Heusel et al., arXiv:1706.08500). It learns by telling apart emoji, shapes, colours, backdrops
and kinds of damage; no pretrained network is involved. A new training makes another judge: scores measured with it
compare with no older ones.

    limner train features --out runs/features      # the shipped one: 8 minutes on one CPU core
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from limner.encoders.features import FeatureNet
from limner.recipe import Recipe
from limner.train.settings import Settings
from limner.train.task import Task


@dataclass(frozen=True, kw_only=True)
class Knobs(Settings):
    """A feature net."""

    widths: tuple[int, ...] = (24, 48, 96)
    """Channels of the maps at strides 2, 4 and 8."""
    depths: tuple[int, ...] = (1, 1, 2)
    """Further convolutions per stride."""
    pooled: int = 192
    """Length of the pooled vector."""
    images: int = 160_000
    batch: int = 32
    lr: float = 3e-3
    warmup: int = 4_000
    ema: int = 3_000
    sample_every: int = 20_000
    checkpoint_every: int = 20_000


def build(knobs: Knobs) -> FeatureNet:
    """A freshly initialised feature net."""
    return FeatureNet(knobs.widths, knobs.depths, knobs.pooled)


def lesson(knobs: Knobs, model: FeatureNet) -> Task[FeatureNet, Any]:
    """Training on damaged images of limner's own worlds."""
    from limner.lessons.features import FeatureTraining

    return FeatureTraining(model, seed=knobs.seed).task()


RECIPE = Recipe(
    state="works",
    paper="arXiv:1801.03924",
    knobs=Knobs,
    build=build,
    lesson=lesson,
    tiny={"widths": (4, 4, 8), "depths": (0, 0, 0), "pooled": 8},
)
