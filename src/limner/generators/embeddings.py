"""Embeddings of tokens that depend on other tokens too, though on none of their own step or later."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn

from limner.errors import InputError
from limner.nn.borrowed import Borrowed
from limner.tokenizers.free_scales import FreeScaleQuantizer
from limner.tokenizers.pyramid import Pyramid
from limner.tokenizers.quantizers.multiscale import MultiScaleQuantizer
from limner.types import Tokens

Scaling: TypeAlias = MultiScaleQuantizer | Pyramid | FreeScaleQuantizer


def scale_inputs(quantizer: MultiScaleQuantizer | Pyramid, tokens: Tokens) -> Float[Tensor, "b n c"]:
    """The image so far at each position, as the quantizer has it."""
    return quantizer.scale_inputs(tokens)


def rows(quantizer: FreeScaleQuantizer, tokens: Tokens) -> Float[Tensor, "b n c"]:
    """Each token's own row: what a position reads, its backbone makes of them."""
    return quantizer.rows(tokens)


class ScaleEmbedding(nn.Module):
    """Each position of a scale embeds the picture so far: the sum of all scales before, shrunk to its scale (VAR,
    arXiv:2404.02905, Section 3.2), or the scale before, enlarged (FlowAR, arXiv:2412.15205), as the quantizer has it.
    Positions of the first scale embed zeros.

    Args:
        channels: of the quantizer.
        width: of the backbone.
        quantizer: the tokenizer's; frozen, and no part of this module's state.
        read: what of the tokens is embedded, `scale_inputs` or `rows`.
    """

    def __init__(
        self, channels: int, width: int, quantizer: Scaling | None = None, read: Callable[..., Any] = scale_inputs
    ) -> None:
        super().__init__()
        self.project, self.read = nn.Linear(channels, width), read
        self.borrowed: Borrowed[Scaling] | None = None
        if quantizer is not None:
            self.attach(quantizer)

    @property
    def quantizer(self) -> Scaling:
        """The tokenizer's; raises `InputError` where none was given."""
        if self.borrowed is None:
            raise InputError(
                "this generator has no tokenizer yet: attach the quantizer of the one it learned from, "
                "generator.embed.attach(tokenizer.quantizer)"
            )
        return self.borrowed.module

    def attach(self, quantizer: Scaling) -> None:
        """Embed by this quantizer from now on; it keeps its precision, for what it sums up is a picture."""
        self.borrowed = Borrowed(quantizer, casts=False)

    def forward(self, tokens: Tokens) -> Float[Tensor, "b n d"]:
        with torch.no_grad():
            inputs = self.read(self.quantizer, tokens)
        return self.project(inputs.to(self.project.weight.dtype))
