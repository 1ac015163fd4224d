"""VQ-VAE with and without rebirth of dead rows, and what its codes are good for."""

from __future__ import annotations

from limner.experiments.claims import at_least, better, every
from limner.experiments.generators.mar import CODES, MEAN_OF_AE
from limner.experiments.world import Arm

REBORN = Arm("vq-512", "tokenizers/vq_vae", {"channels": 8, "entries": 512})
MORTAL = Arm("vq-512-mortal", "tokenizers/vq_vae", {**REBORN.knobs, "revive_below": 0.0})

CLAIMS = (
    every(at_least(REBORN, {"usage": 0.9}), better(REBORN, MORTAL, "usage")),
    better(CODES, MEAN_OF_AE, by=0.5),
)
