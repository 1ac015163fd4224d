"""TiTok-L32 by github.com/bytedance/1d-tokenizer: ``decode_tokens`` of 32 ids."""

from __future__ import annotations

from pathlib import Path

import torch
from contender import Contender
from torch import Tensor

from official.one_d import configuration, prepare

TOKENIZER = {
    "codebook_size": 4096,
    "token_size": 12,
    "use_l2_norm": True,
    "commitment_cost": 0.25,
    "vit_enc_model_size": "large",
    "vit_dec_model_size": "large",
    "vit_enc_patch_size": 16,
    "vit_dec_patch_size": 16,
    "num_latent_tokens": 32,
    "finetune_decoder": True,
}


def build(folder: Path, device: torch.device) -> Contender:
    """Random weights at the published size; what is drawn are ids by luck."""
    prepare(folder, device)
    from modeling.titok import TiTok  # type: ignore[import-not-found]

    config = configuration(TOKENIZER, {})
    config["dataset"] = {"preprocessing": {"crop_size": 256}}
    tokenizer = TiTok(config).to(device).eval().requires_grad_(False)

    def draw(classes: Tensor) -> Tensor:
        return torch.randint(4096, (len(classes), 32), device=classes.device)

    return Contender(draw, tokenizer.decode_tokens, {"tokenizer": tokenizer})
