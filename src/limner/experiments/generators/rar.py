"""RAR: permuted, then annealed to raster, against raster alone; the same model, drawn from left to right."""

from __future__ import annotations

from limner.experiments.claims import better
from limner.experiments.tokenizers.baselines import VQ
from limner.experiments.world import Arm

ANNEALED = Arm("rar", "generators/rar", {"depth": 3, "tokenizer": VQ})
RASTER = Arm("rar-raster", "generators/rar", {**ANNEALED.knobs, "anneal_from": 0.0, "anneal_to": 0.0})

CLAIMS = (better(ANNEALED, RASTER),)
