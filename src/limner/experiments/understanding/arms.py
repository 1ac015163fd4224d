"""What all arms share that see: an encoder, and a language model that has read captions and answers questions on them.

It read what now stands where a picture will stand, so what an arm must learn from pictures is to see, not to speak.
"""

from __future__ import annotations

from limner.experiments.encoders.arms import SMALL, SUPERCLASS
from limner.experiments.world import READING, Arm

READER = Arm(
    "reader", "understanding/llava", {"data": READING, "encoder": SUPERCLASS[SMALL], "images": 16_000}, judged=False
)
PARTS = {"encoder": SUPERCLASS[SMALL], "language": READER}
PLAIN = Arm("llava", "understanding/llava", PARTS)
