"""VTC-CLS: the language model reads only the patches to which the vision encoder's class token attends most.

Wang et al., arXiv:2412.05819 (github.com/THU-MIG/VTC-CLS): the attention of the class token, mean over heads and summed
from a layer ``start`` to the last but one, ranks the patches; the ``keep`` best go into the connector, in raster order,
and are read at consecutive positions. Nothing is trained. The authors choose ``start`` and ``keep`` per benchmark, from
64 to 256 of LLaVA-1.5's 576; the default is a quarter of the 64 patches of limner's small models.
Deviation: in an encoder without a class token, the attention that a patch receives from all patches stands in for it.

    limner see drawing.png "What colour is the heart?" --with vtc-cls
    limner see drawing.png --model runs/llava --with vtc-cls:keep=8,start=2
"""

from __future__ import annotations

from dataclasses import dataclass

from limner.connectors.pruning import Heaviest
from limner.encoders.class_attention import Attentive, ClassWeighted
from limner.errors import InputError
from limner.models.vision_language import VisionLanguageModel
from limner.recipe import Claim, Technique


@dataclass(frozen=True)
class Knobs:
    """What is kept, and by which layers."""

    keep: int = 16
    """Patches that are kept."""
    start: int = 0
    """First layer whose attention counts; negative counts from the end."""


def apply(model: VisionLanguageModel, knobs: Knobs) -> VisionLanguageModel:
    """The model, reading the patches of largest weight; raises `InputError` if its encoder's attention is unknown."""
    if not isinstance(model.encoder, Attentive):
        raise InputError("this technique reads attention, which this model's encoder has not: choose a transformer")
    return model.changed(encoder=ClassWeighted(model.encoder, knobs.start), reduce=Heaviest(knobs.keep))


RECIPE = Technique(
    system="vtc-cls",
    state="works",
    paper="arXiv:2412.05819",
    knobs=Knobs,
    apply=apply,
    on=VisionLanguageModel,
    host="understanding/llava",
    tiny={"keep": 2},
    neutral={"keep": 1_000_000},
    claims=(
        Claim(
            text="of 64 patches the 16 that receive most attention answer more questions right than 16 at random",
            source="arXiv:2412.05819, Section 4",
        ),
        Claim(
            text="attention summed over layers chooses patches that answer as many questions right as those that the "
            "last but one layer chooses alone, within 2 points",
            source="arXiv:2412.05819, Section 3",
        ),
    ),
)
