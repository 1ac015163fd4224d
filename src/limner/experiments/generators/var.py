"""VAR: next-scale in 6 passes against a causal transformer of as many parameters in 64; each over its own tokenizer,
which differ in the quantizer between the same encoder and decoder."""

from __future__ import annotations

from limner.experiments.claims import better
from limner.experiments.generators.baselines import RASTER
from limner.experiments.tokenizers.baselines import MULTISCALE
from limner.experiments.world import Arm

SIZES = {"depth": 3, "temperature": 1.0, "cooled": False}
SCALES = Arm("var", "generators/var", {**SIZES, "tokenizer": MULTISCALE})

CLAIMS = (better(SCALES, RASTER, fewer="passes"),)
