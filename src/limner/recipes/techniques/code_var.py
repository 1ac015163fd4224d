"""CoDe: a large VAR draws the coarse scales, a small one the fine scales, where most of the tokens are.

Chen et al., Collaborative Decoding Makes Visual Auto-Regressive Modeling Efficient, arXiv:2411.17787
(github.com/czg1225/CoDe). The large model draws the first ``drafted`` scales by itself. The small one then reads all
of them in one pass, which fills its cache, draws the next scale from the same pass, and goes on. Two thirds of the
tokens of a pyramid are those of its last two scales, so nearly all of the work is the small model's. Training-free;
the paper's tuning of each model on its own scales is not here. Approximate: fine scales have the small model's law.

The authors draw 6 to 9 of 10 scales by the large model; half of the scales is the default. They warm the first
scales, ``T = 1.1``, and apply T after top-k and top-p; here temperature and cuts are those of the large model.

    limner draw "a red heart" --model var-emoji-64 --with code-var:refiner=var-emoji-64-small,drafted=4
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from limner.decode.decoder import Decoder
from limner.decode.handover import Handover
from limner.decode.step import by_order
from limner.errors import InputError
from limner.generators.generator import Generator
from limner.generators.orders import Scales
from limner.models.text_to_image import ImageGenerator
from limner.recipe import Claim, Technique
from limner.recipes.techniques.family import SELF, companion


@dataclass(frozen=True)
class Knobs:
    """Who refines, and from where on."""

    refiner: str = SELF
    """Name or folder of the small model."""
    drafted: int | None = None
    """Scales that the large model draws; None: half of them."""


def handing_over(decoder: Decoder, first: Generator, second: Generator, after: int) -> Decoder:
    """The decoder of ``first`` whose steps behind ``after`` are drawn by ``second``; raises `InputError` if something
    else changed how it draws."""
    if decoder.step is not by_order or decoder.generator is not first:
        raise InputError("two techniques would decide what a step draws: leave one of them out")
    return replace(decoder, step=Handover(second, after))


def apply(model: ImageGenerator, knobs: Knobs) -> ImageGenerator:
    """The model, which hands over to a smaller one; raises `InputError` if it draws no scales, or if the other draws
    other tokens or reads other prompts."""
    if not isinstance(model.generator.order, Scales):
        raise InputError("this technique hands over between scales: choose a VAR model such as var-emoji-64")
    after = len(model.generator.layout.grids) // 2 if knobs.drafted is None else knobs.drafted
    second = companion(model, knobs.refiner)
    model.change_decoder(partial(handing_over, first=model.generator, second=second, after=after))
    return model


RECIPE = Technique(
    system="code-var",
    state="partly",
    paper="arXiv:2411.17787",
    knobs=Knobs,
    apply=apply,
    on=ImageGenerator,
    host="generators/var",
    tiny={"drafted": 3},
    neutral={},
    claims=(
        Claim(text="a model that hands over to itself draws what it draws alone", source="Section 3.2"),
        Claim(
            text="the fewer scales the large model draws, the fewer operations an image takes",
            source="Table 1: 1.7 to 2.9 times faster",
        ),
        Claim(
            text="large then small draws better than small then large at the same scales",
            source="Section 3.1, Figure 3",
        ),
    ),
)
