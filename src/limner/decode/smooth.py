"""Pictures without hard decisions: mixtures of codes in place of codes (``more_smooth`` in VAR's official code).

    T = 1 / (1 + r),   tau = max(0.27 (1 - 0.95 r), 0.005),   r from 0 in the first step to 1 in the last

For looking at, not for scores: it is a little sharper than its model and varies less.
"""

from __future__ import annotations

from dataclasses import replace

from jaxtyping import Float
from torch import Tensor

from limner.decode.decoder import Decoder
from limner.decode.schedules import cooling
from limner.decode.step import by_order
from limner.errors import InputError
from limner.generators.generator import Generator
from limner.generators.heads.categorical import SoftmaxHead
from limner.generators.heads.codes import MixingHead


def smoothed(decoder: Decoder, codebook: Float[Tensor, "v c"]) -> Decoder:
    """The decoder drawing mixtures of the rows of ``codebook``: its tokens are latents ``[b, n, c]``, which the
    tokenizer decodes as it does ids. The generator's embedding must read latents; raises `InputError` if its head is no
    `SoftmaxHead`, or if the decoder has a step of its own."""
    generator = decoder.generator
    if not isinstance(generator.head, SoftmaxHead):
        raise InputError(f"a {type(generator.head).__name__} has no codes to mix: leave this technique out, or once")
    if decoder.step is not by_order:
        raise InputError("another technique decides what a step draws, which are no mixtures: leave one of them out")
    mixing = Generator(
        layout=generator.layout,
        order=generator.order,
        backbone=generator.backbone,
        head=MixingHead(generator.head, codebook, softness),
        condition=generator.condition,
        embed=generator.embed,
    ).train(generator.training)
    return replace(decoder, generator=mixing, temperature=cooling)


def softness(temperature: float) -> float:
    """tau of a temperature T, see above."""
    progress = 1.0 / temperature - 1.0
    return max(0.27 * (1.0 - 0.95 * progress), 0.005)
