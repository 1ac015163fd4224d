"""M3: what a quarter of the tokens answers, learned with smaller numbers or alone, against all in a LLaVA."""

from __future__ import annotations

from limner.experiments.claims import no_worse
from limner.experiments.understanding.arms import PARTS, PLAIN
from limner.experiments.world import Arm

QUARTER = 16
NESTED = Arm("m3", "understanding/m3", {**PARTS, "counts": (1, 4, QUARTER)})
ALONE = Arm("m3-alone", "understanding/m3", {**PARTS, "counts": (QUARTER,)})

CLAIMS = (no_worse(NESTED, PLAIN, 0.02, "answers"), no_worse(NESTED, ALONE, 0.02, "answers"))
