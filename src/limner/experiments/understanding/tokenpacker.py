"""TokenPacker: a quarter of the tokens that gather details, against all of them and against means of the cells."""

from __future__ import annotations

from limner.experiments.claims import better, no_worse
from limner.experiments.understanding.arms import PARTS, PLAIN
from limner.experiments.understanding.m3 import ALONE
from limner.experiments.world import Arm

PACKED = Arm("tokenpacker", "understanding/tokenpacker", PARTS)

CLAIMS = (no_worse(PACKED, PLAIN, 0.02, "answers"), better(PACKED, ALONE, "answers"))
