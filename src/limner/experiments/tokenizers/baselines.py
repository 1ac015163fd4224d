"""Tokenizers of 8x8 latents that differ in their quantizer alone: generators draw their tokens."""

from __future__ import annotations

from limner.experiments.world import Arm

AE = Arm("ae", "tokenizers/ae", {"channels": 8})
VAE = Arm("vae", "tokenizers/vae", {"channels": 8})
VQ = Arm("vq", "tokenizers/vq_vae", {"channels": 8, "entries": 256})
MULTISCALE = Arm("multiscale", "tokenizers/multiscale", {"channels": 8, "entries": 256, "sides": (1, 2, 3, 4, 6, 8)})
FREE = Arm("free-scales", "tokenizers/free_scales", {"channels": 8, "entries": 256})
