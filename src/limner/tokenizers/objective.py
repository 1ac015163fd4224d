"""What a tokenizer learns from: any `Objective`, such as the reconstruction error in pixels, in features and to a
discriminator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from limner.nn.whole_batch import Coupling
from limner.tokenizers.discriminator import adaptive_weight, hinge_losses
from limner.tokenizers.perceptual import FeatureMaps, perceptual_distance
from limner.tokenizers.quantizers.quantizer import Bottleneck
from limner.tokenizers.tokenizer import Metrics
from limner.types import Image, Rng


@runtime_checkable
class Reconstructing(Protocol):
    """A tokenizer in training."""

    @property
    def decoder(self) -> nn.Module:
        """Its last convolution makes the picture."""

    def __call__(self, image: Image, rng: Rng) -> tuple[Image, Bottleneck]: ...


@dataclass(frozen=True)
class ReconstructionObjective:
    """``l1 |x - x'| + l2 |x - x'|^2 + perceptual d(x, x') + adversarial w g(x') + penalty of the quantizer``.

    Pixel terms are means over all values in [-1, 1]; a weight of 0 switches a term, and its cost, off.
    """

    l1: float = 0.5
    l2: float = 1.0
    perceptual: float = 0.0
    adversarial: float = 0.0
    features: FeatureMaps | None = None
    discriminator: nn.Module | None = None

    @property
    def coupling(self) -> Coupling | None:
        """The adaptive weight is a ratio of two gradients of the whole batch."""
        if not self.adversarial:
            return None
        return Coupling("the discriminator's weight is measured on the whole batch (--adversarial 0 does not)")

    def __call__(self, model: Reconstructing, image: Image, rng: Rng) -> tuple[Tensor, Metrics]:
        """Loss of a batch and its parts."""
        return self.of(model, image, *model(image, rng))

    def of(
        self, model: Reconstructing, image: Image, reconstruction: Image, bottleneck: Bottleneck
    ) -> tuple[Tensor, Metrics]:
        """The same of a batch that the model has rebuilt."""
        reconstruction = reconstruction.float()
        difference = reconstruction - image
        mse = difference.square().mean()
        loss = self.l1 * difference.abs().mean() + self.l2 * mse
        metrics: Metrics = {"psnr": 10 * torch.log10(4 / mse.detach()), **bottleneck.metrics}
        if self.perceptual and self.features is not None:
            distance = perceptual_distance(self.features, reconstruction, image).mean()
            loss, metrics["perceptual"] = loss + self.perceptual * distance, distance.detach()
        if self.adversarial and self.discriminator is not None:
            fooled, discriminator_loss = hinge_losses(self.discriminator, reconstruction, image)
            last = [module for module in model.decoder.modules() if isinstance(module, nn.Conv2d)][-1].weight
            weight = adaptive_weight(loss, fooled, last)
            loss = loss + self.adversarial * weight * fooled + discriminator_loss
            metrics |= {"fooled": fooled.detach(), "discriminator": discriminator_loss.detach()}
        return loss + bottleneck.penalty, metrics
