"""A patch discriminator (Isola et al., arXiv:1611.07004), adaptively weighted (Esser et al., arXiv:2012.09841, Eq. 7).

Both sides' losses are summed into one: the autoencoder meets a copy of the discriminator that takes no gradient, the
discriminator meets pictures that give none. So one optimizer and the one training loop are enough.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from limner.types import Image


class PatchDiscriminator(nn.Module):
    """Scores overlapping patches of 22 pixels: three strided convolutions, one logit per cell of 8 pixels."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 4 * width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(4 * width, 1, 1),
        )

    def forward(self, image: Image) -> Float[Tensor, "b 1 rows columns"]:
        return self.layers(image)


def hinge_losses(
    discriminator: nn.Module, reconstruction: Image, image: Image
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """What the autoencoder and what the discriminator descend (hinge loss, Lim & Ye, arXiv:1705.02894)."""
    frozen = {name: value.detach() for name, value in discriminator.named_parameters()}
    fooled = -functional_call(discriminator, frozen, (reconstruction,)).mean()
    real, fake = discriminator(image), discriminator(reconstruction.detach())
    return fooled, 0.5 * (functional.relu(1 - real).mean() + functional.relu(1 + fake).mean())


def adaptive_weight(
    reconstruction_loss: Float[Tensor, ""], adversarial_loss: Float[Tensor, ""], last_layer: Tensor
) -> Float[Tensor, ""]:
    """``|grad of reconstruction| / |grad of adversary|`` at the decoder's last layer, at most 1e4 (Eq. 7)."""
    ours = torch.autograd.grad(reconstruction_loss, last_layer, retain_graph=True)[0].norm()
    theirs = torch.autograd.grad(adversarial_loss, last_layer, retain_graph=True)[0].norm()
    return (ours / (theirs + 1e-4)).clamp(0.0, 1e4).detach()
