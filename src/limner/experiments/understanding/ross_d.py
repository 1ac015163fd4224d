"""ROSS-D: hidden states that must condition a denoiser of latents, against regression and answers alone.

As for `ross_r`, the control with a stopped gradient is the plain LLaVA, for the encoder is frozen.
"""

from __future__ import annotations

from limner.experiments.claims import better
from limner.experiments.tokenizers.baselines import VAE
from limner.experiments.understanding.arms import PARTS, PLAIN
from limner.experiments.understanding.ross_r import LATENTS
from limner.experiments.world import Arm

SIZES = {"denoiser_width": 64, "denoiser_depth": 2, "draws": 2, "latents": VAE}
DENOISED = Arm("ross-d", "understanding/ross_d", {**PARTS, **SIZES})
SHUFFLED = Arm("ross-d-shuffled", "understanding/ross_d", {**PARTS, **SIZES, "shuffled": True})

CLAIMS = (
    better(DENOISED, PLAIN, "answers"),
    better(DENOISED, LATENTS, "answers"),
    better(DENOISED, SHUFFLED, "answers"),
)
