"""LLaVA: is the picture what answers, and does it pay to align first?"""

from __future__ import annotations

from limner.experiments.claims import at_least, better, every
from limner.experiments.understanding.arms import PARTS, PLAIN
from limner.experiments.world import CAPTIONS, FAMILIES, SHUFFLED, Arm

IMAGES = FAMILIES["understanding"]["images"]
FAR = 0.2  # of all questions: what the picture must be worth
OTHERS = Arm("llava-shuffled", "understanding/llava", {**PARTS, "data": SHUFFLED}, judged=False)
FIRST = Arm(
    "llava-first",
    "understanding/llava",
    {**PARTS, "data": CAPTIONS, "stage": "align", "images": IMAGES // 3},
    judged=False,  # of the answers that it is yet to learn
)
ALIGNED = Arm("llava-aligned", "understanding/llava", {**PARTS, "aligned": FIRST, "images": IMAGES - IMAGES // 3})

CLAIMS = (
    every(at_least(PLAIN, {"gain": FAR}), better(PLAIN, OTHERS, "answers", by=FAR)),
    better(ALIGNED, PLAIN, "answers"),
)
