"""xAR with a past as noisy as in training, and with a clean one: the same weights at the start, pictures and steps."""

from __future__ import annotations

from limner.experiments.claims import better
from limner.experiments.tokenizers.baselines import VAE
from limner.experiments.world import Arm

NOISY = Arm("xar", "generators/xar", {"encoder_depth": 2, "decoder_depth": 1, "tokenizer": VAE})
CLEAN = Arm("xar-clean", "generators/xar", {**NOISY.knobs, "noisy": False})

CLAIMS = (better(NOISY, CLEAN),)
