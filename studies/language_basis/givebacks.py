"""What the language model's states at the picture may be asked to give back (ROSS, arXiv:2410.09575), for H5.

    denoising     noise in the latents of the picture, by a small transformer that those states tell what lies there
    regression    the latents themselves, by an MLP of each state
    shuffled      denoising of another scene's latents: the same work, and nothing to learn about the picture
    stopped       denoising that teaches nothing but the denoiser

The latents are those of vae-64, made once for every scene; a batch of them stands for its pictures.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from limner.types import Rng
from limner.unified.denoiser import TokenDenoiser
from limner.unified.reconstruction import Denoising, Objective, Regression
from limner.unified.targets import side_of
from studies.language_basis.world import SLOTS

DENOISER = 64  # its width
DRAWS = 2


class GiveBack(nn.Module):
    """``(states at the picture, latents, rng) -> loss``, what `limner.unified.reconstruction.Reconstruction` does where
    latents are not at hand.

    Args:
        objective: how latents are read off states.
        shuffled: each picture's states are to tell another's latents.
        stopped: the states learn nothing from it.
    """

    def __init__(self, objective: Objective, *, shuffled: bool = False, stopped: bool = False) -> None:
        super().__init__()
        self.objective, self.shuffled, self.stopped = objective, shuffled, stopped

    def forward(self, hidden: Float[Tensor, "b m d"], latents: Float[Tensor, "b m c"], rng: Rng) -> Float[Tensor, ""]:
        """Mean error over pictures."""
        if self.stopped:
            hidden = hidden.detach()
        return self.objective.errors(hidden, latents.roll(1, 0) if self.shuffled else latents, rng).mean()


def giveback(kind: str, width: int, channels: int, seed: int) -> GiveBack | None:
    """The one of a name; None for "none"."""
    if kind == "none":
        return None
    torch.manual_seed(seed)
    if kind == "regression":
        return GiveBack(Regression(width, channels))
    network = TokenDenoiser(channels, width, side_of(SLOTS), width=DENOISER, depth=1, heads=2)
    objective = Denoising(width, network, draws=DRAWS)
    return GiveBack(objective, shuffled=kind == "shuffled", stopped=kind == "stopped")
