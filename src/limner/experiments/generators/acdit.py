"""ACDiT: a cache changes nothing, and blocks of 4x4 latents keep up with the whole picture, which is no order."""

from __future__ import annotations

from limner.experiments.claims import exact, no_worse
from limner.experiments.tokenizers.baselines import VAE
from limner.experiments.world import Arm

BLOCKS, WHOLE = (
    Arm(f"acdit-{side}", "generators/acdit", {"depth": 3, "block": side, "tokenizer": VAE}) for side in (4, 8)
)

CLAIMS = (exact(BLOCKS), no_worse(BLOCKS, WHOLE, 0.1))
