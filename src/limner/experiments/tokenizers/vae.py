"""VAE against AE as what the same MAR draws."""

from __future__ import annotations

from limner.experiments.claims import better
from limner.experiments.generators.mar import DIFFUSION, ON_AE

CLAIMS = (better(DIFFUSION, ON_AE),)
