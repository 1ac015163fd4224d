"""FlexTok: an image as 1 to n ordered tokens, decoded by a flow (Bachmann et al., arXiv:2502.13967).

    z = base.encode(image),   tokens = quantize(encoder(z)),       image = base.decode(flow(noise | tokens 1 .. k))

    loss = |v(x_t, t | tokens 1 .. k) - (noise - z)|^2,   x_t = (1 - t) z + t noise,   t = sigmoid(normal)

k is uniform in 1 .. n for each image, so that the first tokens learn to say most (nested dropout, Rippel et al.,
arXiv:1402.0915); of some images all tokens are withheld, for guidance. The base tokenizer is frozen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from limner.data.preprocess import Pictures, prepared
from limner.errors import InputError
from limner.processes.flow import noised
from limner.tokenizers.flow_decoder import FlowDecoder, ProjectedGuidance
from limner.tokenizers.quantizers.quantizer import Quantizer
from limner.tokenizers.registers import RegisterEncoder
from limner.tokenizers.tokenizer import GridCodec, Metrics, filled, received
from limner.types import Image, Layout, Rng, Tokens


class FlexTok(nn.Module):
    """A tokenizer to a line of nested tokens.

    Args:
        base: a tokenizer of continuous latents on one grid; its weights are saved with this model's.
        encoder: latents to registers.
        quantizer: the bottleneck; the paper's is `limner.tokenizers.quantizers.scalar`.
        decoder: the velocity of latents.
        steps: of the flow when nothing else is wanted.
        guidance: of the flow, see `limner.tokenizers.flow_decoder.ProjectedGuidance`; 1 is none.
    """

    def __init__(
        self,
        base: GridCodec,
        encoder: RegisterEncoder,
        quantizer: Quantizer,
        decoder: FlowDecoder,
        *,
        steps: int = 20,
        guidance: float = 7.5,
    ) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.encoder, self.quantizer, self.decoder = encoder, quantizer, decoder
        self.size, self.layout = base.size, Layout(((encoder.count,),), nested=True)
        self.steps, self.guidance = steps, guidance

    def features(self, image: Image, rng: Rng | None = None) -> Float[Tensor, "b f 1 r"]:
        """What the quantizer reads of an image, one vector per register; ``rng`` samples the base's latents."""
        with torch.no_grad():
            latents = self.base.encode(image, rng)
        return self.encoder(latents)

    def encode(self, image: Pictures, rng: Rng | None = None) -> Tokens:
        """Ids ``[b n]``, the ones that say most first; ``rng`` samples the base's latents. Pictures as those of
        `Codec.encode`."""
        return self.quantizer.tokens(self.features(prepared(image, self.base, self.size), rng), rng)

    def decode(self, tokens: Any, rng: Rng | None = None, steps: int | None = None) -> Image:
        """The image, in [-1, 1], of the first 1 to n tokens; raises `InputError` for more, or for less than one step.
        ``rng`` draws the noise; None draws that of seed 0 for every image."""
        tokens = received(tokens, self.decoder, self.quantizer)
        filled(self.layout, tokens)
        steps = self.steps if steps is None else steps
        if steps < 1:
            raise InputError(f"{steps} steps of the flow were asked for, but must be at least 1")
        rng = Rng([0] * len(tokens), tokens.device) if rng is None else rng
        registers = self.decoder.registers(self.quantizer.latents(tokens, 1, tokens.shape[1]))
        noise = rng.normal(len(tokens), self.base.layout.length, self.base.quantizer.channels)
        guide = None if self.guidance == 1.0 else ProjectedGuidance(self.guidance)
        return self.base.decode(self.decoder.sample(noise, registers, steps, guide))


@dataclass(frozen=True)
class FlowObjective:
    """Mean squared error of the velocity, plus the penalty of the quantizer.

    Args:
        drop: share of images whose tokens are all withheld.
        least: tokens that every other image keeps; all of them is training without nested dropout.
    """

    drop: float = 0.2
    least: int = 1

    def __call__(self, model: FlexTok, image: Image, rng: Rng) -> tuple[Tensor, Metrics]:
        """Loss of a batch and its parts."""
        with torch.no_grad():
            latents = model.base.encode(image, rng).float()
        bottleneck = model.quantizer(model.encoder(latents), rng)
        batch, decoder = len(image), model.decoder
        kept = self.least + (rng.uniform(batch) * (decoder.count - self.least + 1)).long()
        registers = decoder.registers(bottleneck.latents, kept)
        registers = decoder.without(registers, rng.uniform(batch) < self.drop)
        t, noise = rng.normal(batch).sigmoid(), rng.normal(*latents.shape)
        velocity = decoder(noised(latents, noise, t[:, None, None]), t, registers).float()
        error = (velocity - (noise - latents)).square().mean()
        return error + bottleneck.penalty, {"flow": error.detach(), **bottleneck.metrics}
