"""Two views of a picture, one answer: each next word is drawn from its logits l with the picture and l' with the other.

    apart       l' + s (l - l')                what only the picture says: VCD (arXiv:2311.16922, Eq. 3), LLaVA-Align's
                                               visual debiasing (arXiv:2403.05262, Section 4)
    together    l + (s - 1) l'                 what both say: RITUAL (arXiv:2405.17821), AGLA (arXiv:2406.12718)
    plausible   -inf where l < max l + ln b    then only what the picture finds likely enough by itself
                                               (Li et al., arXiv:2210.15097, Eq. 2)

with s = 1 + alpha. It is the guidance of the sampling loop, in which the rows without condition have another picture.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from limner.errors import InputError
from limner.generators.heads.words import Combine, Logits
from limner.types import Image

View: TypeAlias = Callable[[Image, Sequence[str]], Image | None]  # pictures with their questions -> others, or none


@dataclass(frozen=True)
class Contrast:
    """How a model that sees answers with a second view.

    Args:
        view: what the second prompt shows instead of the picture.
        combine: both logits and 1 + alpha to those that are drawn from.
        alpha: weight of the other logits, from 0, which is the plain model, on.
        least: share of the likeliest word's probability below which no word is drawn, in (0, 1].
    """

    view: View
    combine: Combine
    alpha: float
    least: float

    def __post_init__(self) -> None:
        if not self.alpha >= 0 or not 0 < self.least <= 1:
            raise InputError(
                f"alpha {self.alpha:g} and a least share {self.least:g} contrast nothing: choose alpha from 0 on and a "
                "share in (0, 1]"
            )

    def __call__(self, own: Logits, other: Logits, strength: float) -> Logits:
        """The `Combine` of the plausible words."""
        return plausible(self.combine(own, other, strength), own, self.least)


def apart(own: Logits, other: Logits, strength: float) -> Logits:
    """``l' + s (l - l')``."""
    return other + strength * (own - other)


def together(own: Logits, other: Logits, strength: float) -> Logits:
    """``l + (s - 1) l'``."""
    return own + (strength - 1.0) * other


def plausible(logits: Logits, own: Logits, least: float) -> Logits:
    """Logits of the words that are at least ``least`` times as likely as the likeliest by ``own``, -inf elsewhere."""
    bound = own.amax(-1, keepdim=True) + math.log(least)
    return logits.masked_fill(own < bound, float("-inf"))


def no_picture(images: Image, questions: Sequence[str]) -> None:
    """The view that shows nothing: the question alone."""
