"""FlowAR whose every place is modulated by its own meaning, and by the mean of its scale: the same parameters."""

from __future__ import annotations

from limner.experiments.claims import better
from limner.experiments.tokenizers.baselines import VAE
from limner.experiments.world import Arm

SPATIAL = Arm("flowar", "generators/flowar", {"depth": 2, "head_depth": 2, "tokenizer": VAE})
POOLED = Arm("flowar-pooled", "generators/flowar", {**SPATIAL.knobs, "spatial": False})

CLAIMS = (better(SPATIAL, POOLED),)
