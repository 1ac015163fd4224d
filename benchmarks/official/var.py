"""VAR-d16 by github.com/FoundationVision/VAR: ``autoregressive_infer_cfg``, as its demo calls it for scores."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from contender import Contender
from torch import Tensor

SEED = 0


def build(folder: Path, device: torch.device) -> Contender:
    """Random weights at the published size; the pictures come with the drawing."""
    sys.path.insert(0, str(folder / "VAR"))
    from models import build_vae_var  # type: ignore[import-not-found]

    tokenizer, generator = build_vae_var(device=device, depth=16)
    for module in (tokenizer, generator):
        module.eval().requires_grad_(False)

    def draw(classes: Tensor) -> Tensor:
        return generator.autoregressive_infer_cfg(
            B=len(classes), label_B=classes, g_seed=SEED, cfg=1.5, top_k=900, top_p=0.96
        )

    return Contender(draw, lambda pictures: pictures, {"generator": generator, "tokenizer": tokenizer})
