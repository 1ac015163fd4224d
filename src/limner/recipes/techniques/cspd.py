"""CSpD: speculative decoding of MAR's continuous tokens, by a small MAR that shares the noise of the large one.

Wang et al., Continuous Speculative Decoding for Autoregressive Image Generation, arXiv:2411.11925
(github.com/MarkXCloud/CSpD). The large model draws the first ``prefill`` of the steps; then the small one draws, and
every ``every`` steps one pass of the large model verifies all that was drawn since: a token stays by the ratio of the
Gaussians in which both reverse processes end, started from the same noise with the same draws; one that does not is
drawn from ``(p - q)+`` by rejection. See `limner.decode.continuous` for the equations.

Approximate: the ratio of the last Gaussians stands for that of the tokens' whole laws, ``temperature`` flattens it (42
in the official code, 1 in the paper's equations), and later tokens stay though an earlier one did not. The large model
runs ``1 + prefill S + (1 - prefill) S / every`` times in S steps whatever is accepted. ``drafter=self`` is the model
itself, which saves passes in a row, not work. Deviations: a refused token that no proposal replaces in 100 tries is the
large model's own, where officially it is 0; the first proposal that stays is taken, officially the last.

    limner draw "a red heart" --model mar-emoji-64 --with cspd:drafter=runs/small-mar/model,every=4
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from limner.decode.continuous import ContinuousSpeculative
from limner.decode.decoder import Decoder
from limner.decode.step import by_order
from limner.errors import InputError
from limner.generators.generator import Generator
from limner.models.text_to_image import ImageGenerator
from limner.recipe import Claim, Technique
from limner.recipes.techniques.family import SELF, companion


@dataclass(frozen=True)
class Knobs:
    """Those of the official class and its demonstration."""

    drafter: str = SELF
    """Name or folder of the small model."""
    prefill: float = 0.15
    """Share of the steps that the large model draws itself at first."""
    every: int = 8
    """Steps of the small model from one verification to the next."""
    temperature: float = 42.0
    """What flattens the two Gaussians that are compared."""


def drafted(decoder: Decoder, drafter: Generator, knobs: Knobs, aligned: bool = True) -> Decoder:
    """The decoder with another model's drafts; ``aligned``: verified from the noise that they were drawn from."""
    if decoder.step is not by_order:
        raise InputError("two techniques would decide what a step draws: leave one of them out")
    step = ContinuousSpeculative(drafter, knobs.prefill, knobs.every, knobs.temperature, aligned)
    return replace(decoder, step=step)


def apply(model: ImageGenerator, knobs: Knobs) -> ImageGenerator:
    """The model with a small model's drafts; raises `InputError` if either has no diffusion head, or if the small one
    draws other tokens or reads other prompts."""
    model.change_decoder(partial(drafted, drafter=companion(model, knobs.drafter), knobs=knobs))
    return model


RECIPE = Technique(
    system="cspd",
    state="partly",
    paper="arXiv:2411.11925",
    knobs=Knobs,
    apply=apply,
    on=ImageGenerator,
    host="generators/mar",
    tiny={"every": 3, "temperature": 2.0},
    claims=(
        Claim(text="of two Gaussians what is drawn has the law of the target", source="Section 4.1, Eq. 5 to 8"),
        Claim(text="drafts of the same noise stay more often than those of other noise", source="Section 4.2, Table 3"),
        Claim(text="images are as good as the large model's in half its passes", source="Abstract: 2.33 times faster"),
    ),
)
