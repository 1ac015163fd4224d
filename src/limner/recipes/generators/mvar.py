"""M-VAR: VAR with attention inside a scale and a recurrence, Mamba-2, across scales.

Ren et al., arXiv:2411.10433. Attention stays within a scale; what comes from coarser ones is left to a linear
recurrence over the whole sequence. So attention costs the sum of the squared scales, not the square of their sum, and
what is carried from scale to scale is a state of fixed size. Deviations of the small size: those of VAR; the words of a
caption come first in the sequence, and reach later scales through the state.

    limner train mvar --out runs/mvar
    limner convert d16.pth models/mvar-d16 --tokenizer vae_ch160v4096z32.pth      # the authors' weights
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from limner.generators.backbones.mixed_scales import MixedScaleBlock
from limner.generators.backbones.scales import ScaleTransformer, own
from limner.models.text_to_image import TextToImage
from limner.recipe import Claim, Recipe
from limner.recipes.generators import family, var


@dataclass(frozen=True, kw_only=True)
class Knobs(var.Knobs):
    """A transformer over scales whose blocks hold a recurrence."""

    depth: int = 2


def build(knobs: Knobs) -> TextToImage:
    """A freshly initialised M-VAR over its tokenizer; errors as those of VAR."""
    return var.build(knobs, partial(ScaleTransformer, block=MixedScaleBlock, visible=own))


RECIPE = Recipe(
    system="m-var",
    state="partly",
    paper="arXiv:2411.10433",
    knobs=Knobs,
    build=build,
    lesson=family.lesson,
    score=family.score,
    tiny=var.RECIPE.tiny,
    claims=(
        Claim(
            text="at the released sizes what a drawing carries from scale to scale is at most a fifth of VAR's",
            source="arXiv:2411.10433, Section 3.3: a state in place of keys and values",
        ),
        Claim(
            text="draws as well (within 10 %) as a VAR of equal width and about as many parameters",
            source="arXiv:2411.10433, Table 1",
        ),
    ),
)
