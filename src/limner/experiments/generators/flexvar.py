"""FlexVAR in other numbers of steps by the same weights, and against VAR; each over its own tokenizer, which differ in
the quantizer between the same encoder and decoder."""

from __future__ import annotations

from limner.experiments.claims import better, every, no_worse
from limner.experiments.generators.var import SCALES, SIZES
from limner.experiments.tokenizers.baselines import FREE
from limner.experiments.world import Arm

ANY = Arm("flexvar", "generators/flexvar", {**SIZES, "tokenizer": FREE})

CLAIMS = (
    every(*(no_worse(ANY.drawing(steps=steps), ANY, 0.1) for steps in (4, 7))),
    better(ANY, SCALES),
)
