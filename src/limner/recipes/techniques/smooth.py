"""Smooth drawing: mixtures of codes in place of codes (``more_smooth`` in the official code of VAR).

Tian et al., arXiv:2404.02905; Jang et al., Gumbel softmax, arXiv:1611.01144, Eq. 2. In step s of S, with r from 0 to 1,

    latent = softmax((logits / T + gumbel) / tau) @ codebook,   T = T_0 / (1 + r),   tau = max(0.27 (1 - 0.95 r), 0.005)

where T_0 is the model's temperature, 1 in the paper. A little sharper than the model and less varied: not for scores.

    limner draw "a red heart" --model var-emoji-64 --with smooth --temperature 1
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from limner.decode.smooth import smoothed
from limner.errors import InputError
from limner.generators.heads.categorical import SoftmaxHead
from limner.models.text_to_image import ImageGenerator
from limner.recipe import Technique
from limner.tokenizers.quantizers.multiscale import MultiScaleQuantizer


@dataclass(frozen=True)
class Knobs:
    """There is nothing to choose: T and tau are those of the official code."""


def apply(model: ImageGenerator, knobs: Knobs) -> ImageGenerator:
    """The model, drawing mixtures of its tokenizer's codes; raises `InputError` if it draws no pyramids of codes."""
    quantizer = getattr(model.tokenizer, "quantizer", None)
    if not isinstance(model.generator.head, SoftmaxHead) or not isinstance(quantizer, MultiScaleQuantizer):
        raise InputError("this technique mixes the codes of a pyramid: choose a VAR model such as var-emoji-64")
    model.change_decoder(partial(smoothed, codebook=quantizer.codebook))
    return model


RECIPE = Technique(
    state="works",
    paper="arXiv:2404.02905",
    knobs=Knobs,
    apply=apply,
    on=ImageGenerator,
    host="generators/var",
)
