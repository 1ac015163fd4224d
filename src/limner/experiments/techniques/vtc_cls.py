"""VTC-CLS on limner-64: what do questions lose when a quarter of the 64 patches is read, chosen by attention?

    all          64 patches                                    the arm must answer 60 points more than blind
    attention    16, attention summed over layers 0 to L - 2
    one layer    16, attention of layer L - 2 alone
    random       16, drawn for each image

limner-64's encoder has no class token, so attention received from all patches stands in for it.
"""

from __future__ import annotations

from limner.experiments.dropping import AtRandom
from limner.experiments.seeing import Change, Changes, unchanged
from limner.recipes.techniques import vtc_cls

KEEP = 16
MARGIN = 0.02


def pruned(keep: int, start: int) -> Change:
    """An arm: the technique."""
    return lambda model, seed: vtc_cls.apply(model, vtc_cls.Knobs(keep, start))


ARMS = Changes(
    "vtc-cls",
    {
        "all": unchanged,
        "attention": pruned(KEEP, 0),
        "one layer": pruned(KEEP, -2),
        "random": lambda model, seed: model.changed(reduce=AtRandom(KEEP, seed)),
    },
)

CLAIMS = (ARMS.better("attention", "random"), ARMS.no_worse("attention", "one layer", MARGIN))
