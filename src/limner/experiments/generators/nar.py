"""NAR: 15 diagonals against a causal transformer of as many blocks in 64 passes, over the same 8x8 ids; its second head
makes NAR 8 % larger (0.92M parameters, 0.86M)."""

from __future__ import annotations

from limner.experiments.claims import no_worse
from limner.experiments.generators.baselines import RASTER
from limner.experiments.world import Arm

DIAGONAL = Arm("nar", "generators/nar", {"depth": 2, "tokenizer": RASTER.knobs["tokenizer"]})

CLAIMS = (no_worse(DIAGONAL, RASTER, 0.1, fewer="passes"),)
