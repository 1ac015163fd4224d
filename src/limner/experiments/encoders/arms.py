"""SuperClass and CLIP with vision transformers of the same size, in batches of 32 and of 256.

Learning rates grow with the root of the batch, for all arms alike (Malladi et al., arXiv:2205.10287, for Adam).
"""

from __future__ import annotations

from limner.experiments.world import FAMILIES, Arm

SMALL, LARGE = 32, 256  # pictures of a batch
TEXT = {"text_width": 128, "text_depth": 2, "joint": 128}


def encoder(name: str, batch: int) -> Arm:
    """An arm of a batch."""
    rates = {rate: FAMILIES["encoders"][rate] * (batch / SMALL) ** 0.5 for rate in ("lr", "muon")}
    return Arm(f"{name}-{batch}", f"encoders/{name}", {**rates, **(TEXT if name == "clip" else {}), "batch": batch})


SUPERCLASS = {batch: encoder("superclass", batch) for batch in (SMALL, LARGE)}
CLIP = {batch: encoder("clip", batch) for batch in (SMALL, LARGE)}
