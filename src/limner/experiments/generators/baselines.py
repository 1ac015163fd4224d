"""Transformers over the same 64 ids that others are compared with: left to right, and masked; 0.84M and 0.86M
parameters."""

from __future__ import annotations

from limner.experiments.tokenizers.baselines import VQ
from limner.experiments.world import Arm

RASTER = Arm("llamagen", "generators/llamagen", {"depth": 3, "tokenizer": VQ})
MASKED = Arm("maskgit", "generators/maskgit", {"depth": 4, "tokenizer": VQ})
