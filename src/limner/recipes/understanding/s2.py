"""S2: a LLaVA whose encoder looks at the picture and, in four tiles, at the picture twice as large.

Shi et al., When Do We Not Need Larger Vision Models?, arXiv:2403.13043 (github.com/bfshi/scaling_on_scales); see
`limner.encoders.scales`. The encoder stays as it was, tokens stay as many, and the connector reads twice the channels.

    limner train s2 --encoder runs/superclass --out runs/s2
"""

from __future__ import annotations

from dataclasses import dataclass

from limner.connectors.mlp import MlpConnector
from limner.encoders.scales import SeveralScales
from limner.models.vision_language import VisionLanguageModel
from limner.recipe import Claim, Recipe
from limner.recipes.understanding import family
from limner.recipes.understanding.family import TINY, lesson, parts, score, vision_language


@dataclass(frozen=True, kw_only=True)
class Knobs(family.Knobs):
    """A LLaVA of several scales."""

    scales: tuple[int, ...] = (1, 2)
    """Sizes of the picture, in those of the encoder."""


def build(knobs: Knobs) -> VisionLanguageModel:
    """A freshly initialised LLaVA of several scales."""
    made = parts(knobs)
    encoder = SeveralScales(made.encoder, knobs.scales)
    connector = MlpConnector(encoder.width, made.language.width)
    return vision_language(knobs, made._replace(encoder=encoder), connector)


RECIPE = Recipe(
    system="s2",
    state="partly",
    paper="arXiv:2403.13043",
    knobs=Knobs,
    build=build,
    lesson=lesson,
    score=score,
    tiny=TINY,
    claims=(
        Claim(
            text="with the same encoder and as many tokens, two scales answer more questions right than one",
            source="arXiv:2403.13043, Table 2",
        ),
    ),
)
