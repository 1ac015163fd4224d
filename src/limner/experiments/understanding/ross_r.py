"""ROSS-R: hidden states that must give back pixels, or latents, against answers alone.

The encoder is frozen, so a loss whose gradient stops before the language model would teach nothing at all: that control
is the plain LLaVA.
"""

from __future__ import annotations

from limner.experiments.claims import better, every
from limner.experiments.tokenizers.baselines import VAE
from limner.experiments.understanding.arms import PARTS, PLAIN
from limner.experiments.world import Arm

PIXELS = Arm("ross-r-pixels", "understanding/ross_r", PARTS)
LATENTS = Arm("ross-r-latents", "understanding/ross_r", {**PARTS, "latents": VAE})
SHUFFLED = Arm("ross-r-shuffled", "understanding/ross_r", {**PARTS, "latents": VAE, "shuffled": True})

CLAIMS = (
    every(better(PIXELS, PLAIN, "answers"), better(LATENTS, PLAIN, "answers")),
    better(LATENTS, PIXELS, "answers"),
    better(LATENTS, SHUFFLED, "answers"),
)
