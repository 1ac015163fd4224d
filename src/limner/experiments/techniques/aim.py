"""AIM on limner-64: 64 patches merged to 16, and of these two are read in the last of its four layers.

all               64 patches
merged            16, merged by likeness
random patches    16, drawn for each image
dropped           64 patches, of which the last layer reads 8, chosen by importance
random tokens     as many in that layer, drawn for each row
both              merged and dropped
"""

from __future__ import annotations

from limner.experiments.dropping import AtRandom, cheaper, dropping_at_random
from limner.experiments.seeing import Change, Changes, unchanged
from limner.recipes.techniques import aim

QUARTER, PATCHES = 0.25, 64


def reduced(merged: float, slope: float | None) -> Change:
    """The technique, or a part of it."""
    return lambda model, seed: aim.apply(model, aim.Knobs(merged, slope=slope))


ARMS = Changes(
    "aim",
    {
        "all": unchanged,
        "merged": reduced(QUARTER, 0.0),
        "random patches": lambda model, seed: model.changed(reduce=AtRandom(int(PATCHES * QUARTER), seed)),
        "dropped": reduced(1.0, None),
        "random tokens": dropping_at_random(reduced(1.0, None)),
        "both": reduced(QUARTER, None),
    },
)
CLAIMS = (
    ARMS.better("merged", "random patches"),
    ARMS.better("dropped", "random tokens"),
    cheaper(ARMS, "both", "all", {"operations": 0.4}, 0.02),
)
