"""RITUAL on limner-64: is a thing there? Noisy pictures, answered by the picture alone and with a changed copy of it.

plain     the picture
ritual    with a random transform of its own, alpha 3
"""

from __future__ import annotations

from limner.experiments.seeing import Changes, about_presence, unchanged
from limner.recipes.techniques import ritual

ARMS = Changes(
    "presence",
    {"plain": unchanged, "ritual": lambda model, seed: ritual.apply(model, ritual.Knobs(seed=seed))},
    about_presence,
)
CLAIMS = (ARMS.better("ritual", "plain"),)
