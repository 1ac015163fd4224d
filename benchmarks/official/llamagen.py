"""LlamaGen GPT-B by github.com/FoundationVision/LlamaGen: ``generate`` with the defaults of its sampling script."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from contender import Contender
from torch import Tensor

SIDE = 16


def build(folder: Path, device: torch.device) -> Contender:
    """Random weights at the published size, for pictures of 256 pixels."""
    sys.path.insert(0, str(folder / "LlamaGen"))
    from autoregressive.models.generate import generate  # type: ignore[import-not-found]
    from autoregressive.models.gpt import GPT_models  # type: ignore[import-not-found]
    from tokenizer.tokenizer_image.vq_model import VQ_models  # type: ignore[import-not-found]

    generator = GPT_models["GPT-B"](block_size=SIDE**2, vocab_size=16384, num_classes=1000, cls_token_num=1)
    tokenizer = VQ_models["VQ-16"](codebook_size=16384, codebook_embed_dim=8)
    for module in (generator, tokenizer):
        module.to(device).eval().requires_grad_(False)

    def draw(classes: Tensor) -> Tensor:
        return generate(generator, classes, SIDE**2, cfg_scale=4.0, cfg_interval=-1, top_k=2000, top_p=1.0)

    def decode(ids: Tensor) -> Tensor:
        return tokenizer.decode_code(ids, [len(ids), 8, SIDE, SIDE])

    return Contender(draw, decode, {"generator": generator, "tokenizer": tokenizer}, lowered=True)
