"""CLIP: a vision and a text transformer that learn which of a batch's captions belongs to which picture.

Radford et al., Learning Transferable Visual Models From Natural Language Supervision, arXiv:2103.00020. The text tower
is read at the last subword, for there is no sign of the end; otherwise the loss, the learned temperature and the unit
vectors are the paper's. Two pictures of one batch may have the same caption, here as there.

    limner train clip --out runs/clip
"""

from __future__ import annotations

from dataclasses import dataclass

from torch.nn import functional

from limner.encoders.matcher import ImageTextModel
from limner.encoders.objectives.infonce import InfoNce
from limner.encoders.text import TextTransformer
from limner.encoders.two_towers import Objective, TwoTowers
from limner.languages.subwords import Subwords
from limner.recipe import Claim, Recipe
from limner.recipes.encoders import family


@dataclass(frozen=True, kw_only=True)
class Knobs(family.Knobs):
    """A vision and a text tower."""

    text_width: int = 128
    """Width of the text transformer, in heads of 64."""
    text_depth: int = 2
    """Blocks of the text transformer."""
    joint: int = 128
    """Channels of the space where pictures and captions meet."""


def two_towers(knobs: Knobs, objective: Objective) -> ImageTextModel:
    """Both towers under an objective, freshly initialised."""
    text = TextTransformer(
        knobs.vocabulary,
        count=knobs.text_length,
        width=knobs.text_width,
        depth=knobs.text_depth,
        heads=max(knobs.text_width // 64, 1),
        activation=functional.silu,
    )
    return ImageTextModel(
        TwoTowers(family.encoder(knobs), text, objective, joint=knobs.joint), Subwords(knobs.text_length)
    )


def build(knobs: Knobs) -> ImageTextModel:
    """A freshly initialised CLIP."""
    return two_towers(knobs, InfoNce())


TINY = {**family.TINY, "text_width": 64, "text_depth": 1, "joint": 16}
RECIPE = Recipe(
    system="clip",
    state="works",
    paper="arXiv:2103.00020",
    knobs=Knobs,
    build=build,
    lesson=family.lesson,
    score=family.score,
    tiny=TINY,
    claims=(
        Claim(
            text="colour and shape of unseen scenes and the group of unseen emoji are classified by words alone, "
            "each three times as often right as by chance",
            source="arXiv:2103.00020, Section 3.1",
        ),
        Claim(
            text="the true partner of an unseen picture or caption is found first, ten times as often as by chance",
            source="arXiv:2103.00020, Section 3.1.5 and Appendix E.2",
        ),
    ),
)
