"""AIM: patches that are alike are merged before the language model, and inside it the least important are dropped.

Zhong et al., arXiv:2412.03248 (github.com/LaVi-Lab/AIM). Patches are merged in rounds (`limner.connectors.merging`) to
a quarter. Then, with A the attention of layer l - 1 sharpened to softmax(logits / 0.1), importance is how often a
surfer comes by who follows A from anywhere for five steps, in the root mean square over heads (PageRank, undamped):

    p <- p A  five times from p = 1/n,    importance = sqrt(mean over heads of p^2)

and layer l reads the floor(n share_l) most important tokens of the picture, at the positions where they stood:

    share_l = 1 up to the middle layer,   then  1 - (l - middle) slope,   at least 0

The authors' middle is layer 14 of 28 and their slope 1/8, so that eight layers on no visual token is left; the defaults
are the same shares of any depth. Deviation: what the authors hide from later layers is really dropped here, so that
the surfer no longer starts there.

    limner see drawing.png "What colour is the heart?" --with aim
    limner see drawing.png --with aim:merged=1,middle=2,slope=0.5
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from limner.connectors.merging import Alike
from limner.errors import InputError
from limner.models.vision_language import VisionLanguageModel
from limner.recipe import Claim, Technique
from limner.unified.dropping import Dropping, Layer, layered

TEMPERATURE, STEPS = 0.1, 5


@dataclass(frozen=True)
class Knobs:
    """How much is merged, and where the rest is dropped."""

    merged: float = 0.25
    """Share of the patches that is left for the language model."""
    middle: int | None = None
    """Layer from which on tokens are dropped; None: half the depth."""
    slope: float | None = None
    """Share of the tokens that each layer drops; None: 3.5 / depth, as the authors have it."""


def importance(
    weights: Float[Tensor, "b heads n n"], temperature: float = TEMPERATURE, steps: int = STEPS
) -> Float[Tensor, "b n"]:
    """Where a surfer is who follows attention, sharpened by a temperature, for some steps; a row of ``weights`` sums
    to 1."""
    follow = (weights.float().log() / temperature).softmax(-1)
    there = follow.new_full((*follow.shape[:2], 1, follow.shape[-1]), 1 / follow.shape[-1])
    for _ in range(steps):
        there = there @ follow
    return there[:, :, 0].square().mean(1).sqrt()


def by_importance(layer: Layer, before: Layer) -> Float[Tensor, "b n"]:
    """Importance in the attention of the layer before, where a token was already then."""
    return importance(before.weights())


@dataclass(frozen=True)
class Sloping:
    """A `limner.unified.dropping.Share`: 1 up to the layer ``middle``, from there on less by ``slope`` at each."""

    middle: int
    slope: float

    def __call__(self, layer: int) -> float:
        return min(1.0, max(0.0, 1.0 - (layer - self.middle) * self.slope))


def apply(model: VisionLanguageModel, knobs: Knobs) -> VisionLanguageModel:
    """The model, merging and dropping; raises `InputError` for a share that cannot be, a middle before layer 1, or a
    slope outside [0, 1]."""
    depth = len(layered(model.language).blocks)
    middle = max(1, depth // 2) if knobs.middle is None else knobs.middle
    slope = min(1.0, 3.5 / depth) if knobs.slope is None else knobs.slope
    if middle < 1 or not 0 <= slope <= 1:
        raise InputError(
            f"layer {middle} and slope {slope:g} drop nothing sensible: choose a layer from 1 on, a slope in [0, 1]"
        )
    return model.changed(
        reduce=Alike(knobs.merged),
        reader=Dropping(Sloping(middle, slope), by_importance, recount=False),
    )


RECIPE = Technique(
    system="aim-merge-prune",
    state="works",
    paper="arXiv:2412.03248",
    knobs=Knobs,
    apply=apply,
    on=VisionLanguageModel,
    host="understanding/llava",
    tiny={"merged": 0.5},
    neutral={"merged": 1.0, "slope": 0.0},
    claims=(
        Claim(
            text="patches merged to a quarter answer more questions right than a quarter of the patches at random",
            source="arXiv:2412.03248, Section 3.1",
        ),
        Claim(
            text="tokens dropped by importance answer more questions right than as many at random, in the same layers",
            source="arXiv:2412.03248, Section 3.2",
        ),
        Claim(
            text="merged and dropped, reading a picture and its question takes at most 40 % of the operations, at no "
            "more than 2 points of right answers",
            source="arXiv:2412.03248, Abstract",
        ),
    ),
)
