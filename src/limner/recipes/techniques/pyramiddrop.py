"""PyramidDrop: the deeper a layer, the fewer tokens of the picture it reads, chosen by the attention of the question.

Xing et al., arXiv:2410.17247 (github.com/Cooperx521/PyramidDrop). Before each layer l of a list, by l's own attention A
of the token that predicts the answer, mean over heads,

    kept = top-k of A_l[last token of the question, picture],    k = floor(n * ratio_l),  n the picture's tokens

in their order, at positions counted anew. Nothing need be trained; in training the rows before every answer choose, in
the mean. The authors halve the tokens at layers 8, 16 and 24 of 32; the default does so at the same share of any depth.
Deviation: in training a row without an answer chooses by its last token, where the authors' drops nothing.

    limner see drawing.png "What colour is the heart?" --with pyramiddrop
    limner see drawing.png --with pyramiddrop:layers=[2,4],ratios=[0.5,0.1]
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from limner.errors import InputError
from limner.models.vision_language import VisionLanguageModel
from limner.recipe import Claim, Technique
from limner.unified.dropping import Dropping, Layer, layered


@dataclass(frozen=True)
class Knobs:
    """Where tokens are dropped, and how many stay."""

    layers: tuple[int, ...] = ()
    """Before which layers, from 1 on; none given: at a quarter, a half and three quarters of the depth."""
    ratios: tuple[float, ...] = (0.5, 0.25, 0.125)
    """Share of all the picture's tokens that is left from each of them on."""


def by_question(layer: Layer, before: Layer) -> Float[Tensor, "b n"]:
    """Attention of the tokens that predict an answer, mean over them and over heads."""
    count = int(layer.asking.sum(1).max())
    rows = (~layer.asking).long().argsort(dim=1, stable=True)[:, :count]
    counted = layer.asking.gather(1, rows).to(layer.x.dtype)[..., None]
    return (layer.weights(rows).mean(1) * counted).sum(1) / counted.sum(1)


@dataclass(frozen=True)
class Falling:
    """A `limner.unified.dropping.Share`: 1, and from each of the layers on its ratio at most."""

    layers: tuple[int, ...]
    ratios: tuple[float, ...]

    def __call__(self, layer: int) -> float:
        stages = zip(self.layers, self.ratios, strict=True)
        return min((ratio for first, ratio in stages if layer >= first), default=1.0)


def apply(model: VisionLanguageModel, knobs: Knobs) -> VisionLanguageModel:
    """The model, whose language model drops tokens; raises `InputError` for layers without a ratio each, and for
    ratios outside [0, 1]."""
    depth, count = len(layered(model.language).blocks), len(knobs.ratios)
    layers = knobs.layers or tuple(max(1, depth * stage // (count + 1)) for stage in range(1, count + 1))
    if len(layers) != count or not all(0 <= ratio <= 1 for ratio in knobs.ratios) or min(layers, default=1) < 1:
        raise InputError(
            f"layers {list(layers)} and ratios {list(knobs.ratios)} do not fit: give every layer, from 1 on, a ratio "
            "in [0, 1]"
        )
    return model.changed(reader=Dropping(Falling(layers, knobs.ratios), by_question))


RECIPE = Technique(
    system="pyramiddrop",
    state="works",
    paper="arXiv:2410.17247",
    knobs=Knobs,
    apply=apply,
    on=VisionLanguageModel,
    host="understanding/llava",
    tiny={"ratios": (0.5,)},
    neutral={"ratios": (1.0,)},
    claims=(
        Claim(
            text="tokens chosen by the question's attention answer more questions right than as many at random, "
            "dropped at the same layers",
            source="arXiv:2410.17247, Section 4",
        ),
        Claim(
            text="dropped in stages they answer more than dropped at once, before the first of these layers, where as "
            "many are read in all",
            source="arXiv:2410.17247, Section 3 and Table 5",
        ),
        Claim(
            text="reading a picture and its question takes at most 65 % of the operations and of the cached positions, "
            "at no more than 2 points of right answers",
            source="arXiv:2410.17247, Abstract",
        ),
    ),
)
