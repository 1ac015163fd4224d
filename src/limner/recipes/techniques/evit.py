"""EViT: a vision encoder keeps the patches to which its class token attends most, and fuses the others into one.

Liang et al., arXiv:2202.07800 (github.com/youweiliang/evit); the equation is in `limner.encoders.fusing`. Three
layers, at a quarter, a half and three quarters of the depth, keep 70 % each, so that a third of the patches reaches the
language model. Nothing need be trained; the authors also train with it, the share falling from 1 along half a cosine.
Deviations: kept patches stay in raster order, for a language model reads their order (the authors' are by attention; in
the encoder it does not matter); without a class token, attention received from all patches stands in for its own.

    limner see drawing.png "What colour is the heart?" --with evit
    limner see drawing.png --with evit:keep=0.5,layers=[2]
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from limner.encoders.fusing import Blocked, FusingEncoder
from limner.errors import InputError
from limner.models.vision_language import VisionLanguageModel
from limner.recipe import Claim, Technique


@dataclass(frozen=True)
class Knobs:
    """Where patches go, and how many stay."""

    keep: float = 0.7
    """Share of the patches that each of the layers keeps."""
    layers: tuple[int, ...] = ()
    """Which; none given: those at a quarter, a half and three quarters of the depth."""
    fused: bool = True
    """Go on with one patch for those that are not kept."""


def keep_rate(progress: float, start: float, end: float, keep: float) -> float:
    """The share of training: 1 before ``start``, ``keep`` from ``end`` on, half a cosine between; all in one unit."""
    if progress < start:
        return 1.0
    if progress >= end:
        return keep
    return keep + (1 - keep) * (math.cos(math.pi * (progress - start) / (end - start)) + 1) / 2


def apply(model: VisionLanguageModel, knobs: Knobs) -> VisionLanguageModel:
    """The model with the encoder that fuses; raises `InputError` for an encoder whose layers are not to be reached, and
    for a share outside (0, 1]."""
    if not isinstance(model.encoder, Blocked):
        raise InputError(
            "this technique acts between the layers of limner's vision transformer, which this model's encoder is not"
        )
    if not 0 < knobs.keep <= 1:
        raise InputError(f"a share of {knobs.keep:g} of the patches cannot be kept: choose one in (0, 1]")
    depth = len(model.encoder.blocks)
    layers = knobs.layers or tuple(depth * quarter // 4 for quarter in (1, 2, 3))
    shares = dict.fromkeys(layers, knobs.keep)
    return model.changed(encoder=FusingEncoder(model.encoder, shares, fused=knobs.fused))


RECIPE = Technique(
    system="evit",
    state="works",
    paper="arXiv:2202.07800",
    knobs=Knobs,
    apply=apply,
    on=VisionLanguageModel,
    host="understanding/llava",
    tiny={"keep": 0.5},
    neutral={"keep": 1.0},
    claims=(
        Claim(
            text="patches kept by attention answer more questions right than as many kept at random in the same layers",
            source="arXiv:2202.07800, Table 1",
        ),
        Claim(
            text="with the others fused into one they answer no fewer than without",
            source="arXiv:2202.07800, Table 1",
        ),
        Claim(
            text="encoding takes at most 75 % of the operations, at no more than 2 points of right answers",
            source="arXiv:2202.07800, Section 4",
        ),
    ),
)
