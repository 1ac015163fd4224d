"""What the language model's states at the picture may be trained to reconstruct (ROSS, arXiv:2410.09575), for H5.

    denoising     noise in the latents of the picture, by a small transformer conditioned on those states
    regression    the latents themselves, by an MLP of each state
    shuffled      denoising of another scene's latents: the same work, and nothing to learn about the picture
    stopped       denoising from which the denoiser alone learns

The latents are those of vae-64, made once for every scene.
"""

from __future__ import annotations

import torch

from limner.unified.denoiser import TokenDenoiser
from limner.unified.reconstruction import Denoising, Reconstruction, Regression
from limner.unified.targets import Target, side_of
from studies.language_basis.world import SLOTS

DENOISER = 64  # its width
DRAWS = 2


def giveback(kind: str, width: int, target: Target, seed: int) -> Reconstruction | None:
    """The reconstruction of a name, from states of ``width`` channels; None for "none"."""
    if kind == "none":
        return None
    torch.manual_seed(seed)
    if kind == "regression":
        return Reconstruction(target, Regression(width, target.channels))
    network = TokenDenoiser(target.channels, width, side_of(SLOTS), width=DENOISER, depth=1, heads=2)
    objective = Denoising(width, network, draws=DRAWS)
    return Reconstruction(target, objective, shuffled=kind == "shuffled", stopped=kind == "stopped")
