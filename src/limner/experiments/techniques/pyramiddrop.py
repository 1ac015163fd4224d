"""PyramidDrop on limner-64, whose four layers read 64, 32, 16 and 8 of the picture's 64 tokens.

all          64 in every layer
question     chosen by the attention of the token that predicts the answer
random       as many at the same layers, drawn for each row
at once      the share that is read in the mean of these layers, chosen as in ``question`` before the first of them
"""

from __future__ import annotations

from limner.experiments.dropping import cheaper, dropping_at_random
from limner.experiments.seeing import Changes, unchanged
from limner.models.vision_language import VisionLanguageModel
from limner.recipes.techniques import pyramiddrop

BOUNDS, MARGIN = {"operations": 0.65, "positions": 0.65}, 0.02


def dropping(model: VisionLanguageModel, seed: int) -> VisionLanguageModel:
    """The technique."""
    return pyramiddrop.apply(model, pyramiddrop.Knobs())


def dropping_at_once(model: VisionLanguageModel, seed: int) -> VisionLanguageModel:
    """As many tokens times layers, chosen before the first."""
    mean = sum(pyramiddrop.Knobs().ratios) / len(pyramiddrop.Knobs().ratios)
    return pyramiddrop.apply(model, pyramiddrop.Knobs((1,), (mean,)))


ARMS = Changes(
    "pyramiddrop",
    {
        "all": unchanged,
        "question": dropping,
        "random": dropping_at_random(dropping),
        "at once": dropping_at_once,
    },
)
CLAIMS = (
    ARMS.better("question", "random"),
    ARMS.better("question", "at once"),
    cheaper(ARMS, "question", "all", BOUNDS, MARGIN),
)
