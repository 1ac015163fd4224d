"""LLaVA: an encoder's patches through a small MLP into a language model, trained on questions and answers.

Liu et al., arXiv:2304.08485 and arXiv:2310.03744: the picture's vectors stand before the words, and only answers bear a
loss. Deviations of the small model: the language model is trained from the start, on the same conversations, so
alignment and instruction are one stage; many questions about one picture share one reading of it. With models of
transformers (docs/real-scale.md) there are two stages.

    limner train superclass --out runs/superclass
    limner train llava --encoder runs/superclass --out runs/llava
    limner train llava --encoder clip --encoder-layer -2 --language vicuna --data llava.json --stage align --out runs/a
    limner train llava --encoder clip --encoder-layer -2 --language vicuna --data mix.json --aligned runs/a --lora 128
"""

from __future__ import annotations

from dataclasses import dataclass

from limner.connectors.mlp import MlpConnector
from limner.models.vision_language import VisionLanguageModel
from limner.recipe import Claim, Recipe
from limner.recipes.understanding import family
from limner.recipes.understanding.family import TINY, lesson, parts, score, vision_language


@dataclass(frozen=True, kw_only=True)
class Knobs(family.Knobs):
    """A LLaVA."""


def build(knobs: Knobs) -> VisionLanguageModel:
    """A freshly initialised LLaVA."""
    made = parts(knobs)
    return vision_language(knobs, made, MlpConnector(made.encoder.width, made.language.width))


RECIPE = Recipe(
    system="llava",
    state="works",
    paper="arXiv:2304.08485",
    knobs=Knobs,
    build=build,
    lesson=lesson,
    score=score,
    tiny=TINY,
    claims=(
        Claim(
            text="it is the picture that answers: with its picture a LLaVA answers at least 20 points more questions "
            "right than blind, and than one taught with other pictures",
            source="arXiv:2304.08485, Section 5; asked with and without pictures as in arXiv:2403.20330, Section 4.3",
        ),
        Claim(
            text="at equal pictures, aligning the connector by captions before instructing answers more questions "
            "right than instructing alone",
            source="arXiv:2304.08485, Section 5.2 and Table 8",
        ),
    ),
)
