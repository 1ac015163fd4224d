"""ELM: how many binary codes are used, against a codebook whose rows may die, of the same encoder and decoder; and the
same bits drawn as two codes and as one."""

from __future__ import annotations

from limner.experiments.claims import at_least, better, every, no_worse
from limner.experiments.tokenizers.vq_vae import MORTAL
from limner.experiments.world import Arm

BITS = Arm("bae-9", "tokenizers/bae", {"bits": 9, "codes": 1, "channels": 8})
SPLIT, WHOLE = (Arm(f"bae-{codes}", "tokenizers/bae", {"bits": 12, "codes": codes, "channels": 8}) for codes in (2, 1))
TWO, ONE = (
    Arm(f"elm-{name}", "generators/elm", {"depth": 3, "tokenizer": tokenizer})
    for name, tokenizer in (("2x6", SPLIT), ("1x12", WHOLE))
)

CLAIMS = (
    every(at_least(BITS, {"usage": 0.95}), better(BITS, MORTAL, "usage")),
    no_worse(TWO, ONE, 0.1, fewer="parameters"),
)
