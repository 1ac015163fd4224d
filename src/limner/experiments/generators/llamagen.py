"""LlamaGen: one transformer, drawn from with guidance of 2 and with none."""

from __future__ import annotations

from limner.experiments.claims import better
from limner.experiments.generators.baselines import RASTER

CLAIMS = (better(RASTER.drawing(guidance=2.0), RASTER.drawing(guidance=1.0)),)
