"""AE against VAE and VQ-VAE: equal network, data, order and steps."""

from __future__ import annotations

from limner.experiments.claims import better, every, no_worse
from limner.experiments.tokenizers.baselines import AE, VAE, VQ

CLAIMS = (
    every(no_worse(AE, VAE, 0.0, "psnr"), no_worse(VAE, VQ, 0.0, "psnr")),
    better(VAE, AE, "prior"),
)
