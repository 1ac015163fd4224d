"""S2: two scales of the picture against one, by the same encoder and with as many tokens."""

from __future__ import annotations

from limner.experiments.claims import better
from limner.experiments.understanding.arms import PARTS, PLAIN
from limner.experiments.world import Arm

CLAIMS = (better(Arm("s2", "understanding/s2", PARTS), PLAIN, "answers"),)
