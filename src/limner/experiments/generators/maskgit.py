"""MaskGIT: one masked transformer in 8 and 16 passes, and a causal one of as many parameters in 64."""

from __future__ import annotations

from limner.experiments.claims import no_worse
from limner.experiments.generators.baselines import MASKED, RASTER

EIGHT, SIXTEEN = (MASKED.drawing(steps=steps) for steps in (8, 16))

CLAIMS = (no_worse(EIGHT, SIXTEEN, 0.1), no_worse(EIGHT, RASTER, 0.1, fewer="passes"))
