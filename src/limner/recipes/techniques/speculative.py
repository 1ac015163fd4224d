"""Speculative decoding: a small model drafts, the large one verifies a window of drafts in one pass.

Leviathan et al., arXiv:2211.17192; Chen et al., arXiv:2302.01318. The drafter draws ``window`` ids x_i ~ q_i one after
the other; each stays if ``u < p_i(x_i) / q_i(x_i)``, u uniform in [0, 1), up to the first refusal, in whose place the
large model draws from ``(p_i - q_i)+``. Exact: what is drawn has the large model's law, whatever the drafter is. It
pays where a pass of the drafter costs little beside the large model's and the two agree often.

The drafter must draw the same ids of the same tokenizer from the same subwords: train it on the same pictures with
fewer blocks. ``drafter=self`` is the model itself, which always agrees and saves nothing; it shows what is exact.

    limner train raster --depth 1 --out runs/small
    limner draw "a red heart" --model raster-emoji-64 --with speculative:drafter=runs/small/model
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from limner.decode.drafting import Drafter
from limner.decode.speculative import drafting
from limner.models.text_to_image import ImageGenerator
from limner.recipe import Claim, Technique
from limner.recipes.techniques.family import SELF, companion


@dataclass(frozen=True)
class Knobs:
    """Who drafts, and how much at a time."""

    drafter: str = SELF
    """Name or folder of the small model."""
    window: int = 4
    """Most drafts in a row that are verified in one pass."""


def apply(model: ImageGenerator, knobs: Knobs) -> ImageGenerator:
    """The model with another model's drafts; raises `InputError` if it draws no ids one after the other, or if the
    other draws other tokens or reads other prompts."""
    draft = Drafter(companion(model, knobs.drafter))
    model.change_decoder(partial(drafting, draft=draft, window=knobs.window))
    return model


RECIPE = Technique(
    state="partly",
    paper="arXiv:2211.17192",
    knobs=Knobs,
    apply=apply,
    on=ImageGenerator,
    host="generators/llamagen",
    neutral={},
    claims=(
        Claim(text="what is drawn has the model's law, whatever drafts", source="Appendix A.1"),
        Claim(text="an image takes fewer passes of the large model than of tokens", source="Section 3.1"),
    ),
)
