"""The language basis: does it answer as an MLP does, and do its words name what a patch shows?

The language model stays as it was, so that words go on meaning what they meant: connectors alone are trained.
"""

from __future__ import annotations

from limner.experiments.claims import better, every, no_worse
from limner.experiments.understanding.arms import PARTS
from limner.experiments.world import Arm

PATH, FROZEN = "understanding/language_basis", {**PARTS, "stage": "align"}
MLP = Arm("frozen-mlp", "understanding/llava", FROZEN)
WORDS = Arm("words", PATH, FROZEN)
STARTED = Arm("words-started", PATH, {**FROZEN, "classifier": True})
MATCHED = Arm("matched", "understanding/language_basis_matched", FROZEN)

CLAIMS = (
    no_worse(WORDS, MLP, 0.02, "answers"),
    *(every(better(arm, MATCHED, "named"), better(arm, MLP, "named")) for arm in (WORDS, STARTED)),
)
