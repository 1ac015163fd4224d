"""TokenPacker: a quarter of the patches, each a coarse one that gathers the details of those that it covers.

Li et al., arXiv:2407.02392 (github.com/CircleRadon/TokenPacker); the equation is in `limner.connectors.packer`. Details
come of several layers of the encoder, 12, 16, 22 and 23 of the authors' 24; here of those at a half and three quarters
of the depth and of the last. Training is LLaVA's.

    limner train tokenpacker --encoder runs/superclass --out runs/tokenpacker
"""

from __future__ import annotations

from dataclasses import dataclass

from limner.connectors.packer import TokenPacker
from limner.encoders.fusing import Blocked
from limner.encoders.several import SeveralLayers
from limner.errors import InputError
from limner.models.vision_language import VisionLanguageModel
from limner.recipe import Claim, Recipe
from limner.recipes.understanding import family
from limner.recipes.understanding.family import TINY, lesson, parts, score, vision_language


@dataclass(frozen=True, kw_only=True)
class Knobs(family.Knobs):
    """A LLaVA of fewer, finer tokens."""

    scale: int = 2
    """Patches on a side of what becomes one token."""


def build(knobs: Knobs) -> VisionLanguageModel:
    """A freshly initialised TokenPacker; raises `InputError` for an encoder whose layers are not to be reached."""
    made = parts(knobs)
    if not isinstance(made.encoder, Blocked):
        raise InputError(
            f"{knobs.encoder} does not show its layers, which TokenPacker reads: use an encoder of limner's"
        )
    coarse, depth = made.encoder.width, len(made.encoder.blocks)
    encoder = SeveralLayers(made.encoder, sorted({max(1, depth // 2), max(1, depth * 3 // 4)} - {depth}))
    connector = TokenPacker(encoder.width, coarse, made.language.width, heads=max(coarse // 64, 1), scale=knobs.scale)
    return vision_language(knobs, made._replace(encoder=encoder), connector)


RECIPE = Recipe(
    system="tokenpacker",
    state="partly",
    paper="arXiv:2407.02392",
    knobs=Knobs,
    build=build,
    lesson=lesson,
    score=score,
    tiny=TINY,
    claims=(
        Claim(
            text="with a quarter of the tokens it answers as many questions right as a LLaVA with all, within 2 points",
            source="arXiv:2407.02392, Table 1",
        ),
        Claim(
            text="it answers more than a LLaVA whose tokens are averaged over the same cells",
            source="arXiv:2407.02392, Table 5",
        ),
    ),
)
