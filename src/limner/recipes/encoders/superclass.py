"""SuperClass: a vision transformer that learns to say which subwords the caption holds, without a text tower.

Huang et al., Classification Done Right for Vision-Language Pre-Training, arXiv:2411.03313: softmax cross-entropy
against the set of subwords, weighted by how rare they are in the captions seen so far. An image is not contrasted with
the others of its batch, so small batches lose little. Deviations: a linear classifier without a norm of its own, so
that every patch says words by the classifier of the whole; padding and unknown letters are taken out of the set;
there is no class token.

    limner train superclass --out runs/superclass
    limner train superclass --subwords runs/language --out runs/superclass     # in a language model's own words
"""

from __future__ import annotations

from dataclasses import dataclass

from limner.encoders.matcher import ImageTextModel
from limner.encoders.objectives.subword_set import SubwordFrequency
from limner.encoders.subwords import SubwordClassifier, SubwordHead
from limner.languages.subwords import Subwords
from limner.recipe import Claim, Recipe
from limner.recipes.encoders import family


@dataclass(frozen=True, kw_only=True)
class Knobs(family.Knobs):
    """A SuperClass."""

    head_depth: int = 0
    """Residual MLPs before the classifier; with any, patches say words only by approximation."""
    drop: tuple[int, ...] = (0, 1)
    """Ids that are no words: padding and unknown letters. Without any, as in the paper, their weight takes care."""


def build(knobs: Knobs) -> ImageTextModel:
    """A freshly initialised SuperClass."""
    head = SubwordHead(knobs.width, knobs.vocabulary, depth=knobs.head_depth, normalised=knobs.head_depth > 0)
    frequency = SubwordFrequency(knobs.vocabulary, knobs.drop)
    return ImageTextModel(SubwordClassifier(family.encoder(knobs), head, frequency), Subwords(knobs.text_length))


RECIPE = Recipe(
    system="superclass",
    state="works",
    paper="arXiv:2411.03313",
    knobs=Knobs,
    build=build,
    lesson=family.lesson,
    score=family.score,
    tiny=family.TINY,
    claims=(
        Claim(
            text="with equal encoders, pictures and steps, a linear probe reads SuperClass as well as CLIP, or better",
            source="arXiv:2411.03313, Section 4; deck: 85.0 against 83.9 on ImageNet",
        ),
        Claim(
            text="a training step of SuperClass costs less than one of CLIP, which has a text tower",
            source="arXiv:2411.03313, Abstract",
        ),
        Claim(
            text="from batches of 256 to 32, at equal pictures, SuperClass loses less accuracy than CLIP",
            source="arXiv:2411.03313, Abstract",
        ),
    ),
)
